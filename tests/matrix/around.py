"""The second half of the contract: what stands around a session. Secrets and logs, a neighbour, and what was there before us."""

from __future__ import annotations

from threading import Event
from time import monotonic, sleep
from typing import Final

from tests.matrix.browser import NOBODY, Browser, Me
from tests.matrix.looking import logged, parts_of
from tests.matrix.site import Beside
from tests.matrix.story import ANN, BOB, DoesNotApply, Story
from tests.matrix.streaming import PATH, streaming

MAX_SESSIONS: Final = 1000
"""The default of the setting."""
RECHECK: Final = 0.2
"""Seconds between two checks of the open streams."""
TIMEOUT: Final = 0.5
MARGIN: Final = 1.4
"""Seconds beside the timeout, for a busy machine: still less than the 2 s that are the default."""


class Around(Story):
    """The checks of one site from number 10 on."""

    # --- 10, 11, 12, 13 -----------------------------------------------------------------------------------------------

    def check_10_rotated_secrets(self) -> None:
        """After a change of secrets the caller is recognised by the old ones, and the call rotates no cookie."""
        self.install()
        caller, other = self.signed_in(), self.signed_in()
        caller.put("tea")
        self.site.rotate()
        self.install()
        before = caller.jar()
        self.revokes_others(caller, 1)
        assert caller.jar() == before
        assert caller.me() == Me(ANN, "tea")
        assert other.me().user == NOBODY

    def check_11_nothing_shown(self) -> None:
        """No session id and no token stands in an answer to the call, in a log or (Django's index apart) in our tables."""
        secrets: set[str] = set()
        shown: list[str] = []
        with logged(self.site) as lines:
            self.install()
            remember = self.site.remember_cookie is not None
            caller, other = self.signed_in(remember=remember), self.signed_in(remember=remember)
            stranger = other.copy()
            for browser in (caller, other):
                secrets |= parts_of(browser.jar())
            for browser in (caller, other, stranger):
                answer = browser.sign_out_others()
                shown += [answer.text, str(answer.headers.raw)]
            assert (caller.me().user, other.me().user, stranger.me().user) == (ANN, NOBODY, NOBODY)
            secrets |= parts_of(caller.jar())
        assert secrets
        everything = "\n".join([*shown, *lines, self.site.kept()])
        assert [secret for secret in secrets if secret in everything] == []

    def check_12_two_applications(self) -> None:
        """Two applications under one host with one cookie name: a sign-in to one is no sign-out of the other, and each revokes its own."""
        shop = self.neighbour()
        try:
            self.install()
            self.door(shop, audience="shop")
            place = Beside(self.site, "/shop", shop)
            here, there = Browser(place), Browser(place)
            for browser in (here, there):
                browser.login(ANN)
                browser.at("/shop").login(ANN)
                assert (who(browser), who(browser.at("/shop"))) == (ANN, ANN)  # a sign-in to one is no sign-out of the other
            self.revokes_others(here, 1)
            assert [who(here), who(here.at("/shop")), who(there), who(there.at("/shop"))] == [ANN, ANN, NOBODY, ANN]
            there.login(ANN)
            self.revokes_others(here.at("/shop"), 1)
            assert [who(here), who(here.at("/shop")), who(there), who(there.at("/shop"))] == [ANN, ANN, ANN, NOBODY]
        finally:
            shop.close()

    def check_13_open_streams(self) -> None:
        """An open stream of a revoked session is cut, so that its client can tell; that of the caller and of other users goes on."""
        if self.site.mode != "companion":
            raise DoesNotApply("over the application's own rows no stream is watched: what is open stays open until it ends by itself")
        stop = Event()
        app = streaming(self.site, stop)
        self.door(self.site, recheck=RECHECK, recheck_paths=[PATH])
        caller, victim, bob = self.signed_in(), self.signed_in(), self.signed_in(BOB)
        goes_on, cut, beside = (browser.start("GET", PATH) for browser in (caller, victim, bob))
        try:
            while app.begun < 3:
                assert not any(stream.has_ended() for stream in (goes_on, cut, beside)), "a stream has not begun"
                sleep(0.01)
            self.revokes_others(caller, 1)
            began = monotonic()
            while not cut.has_ended():
                assert monotonic() - began < RECHECK + 10, "the stream of the other session is open still"
                sleep(0.01)
            assert cut.has_failed(), "the stream has ended as if it were whole"
            sleep(2 * RECHECK)
            assert not goes_on.has_ended()
            assert not beside.has_ended()
        finally:
            stop.set()
        assert goes_on.answer().text.endswith("part")
        assert beside.answer().text.endswith("part")

    def check_14a_from_before(self) -> None:
        """Sessions from before the installation: the caller's goes on with its data, the others are revoked."""
        caller, seen, unseen = (self.signed_in() for _ in range(3))
        caller.put("tea")
        stolen = unseen.copy()
        self.install()
        assert caller.me() == Me(ANN, "tea")
        assert seen.me().user == ANN
        self.revokes_others(caller, 2 if self.site.sees_all else 1)  # what nobody has seen is out all the same
        assert [browser.me().user for browser in (seen, unseen, stolen)] == [NOBODY] * 3
        assert caller.me() == Me(ANN, "tea")
        unseen.login(ANN)
        assert unseen.me().user == ANN
        assert stolen.me().user == NOBODY

    def check_14b_in_flight_from_before(self) -> None:
        """The first request of such a session is under way at the moment of the call: it is not taken for a sign-in."""
        caller, unseen = self.signed_in(), self.signed_in()
        before = unseen.copy()
        self.install()
        assert caller.me().user == ANN
        with unseen.under_way("POST", "/slow-write", item="late") as late:
            self.revokes_others(caller, 0 if self.site.mode == "companion" else 1)
        assert self.logins_set_by(late.answer()) == []
        assert (unseen.me().user, before.me().user) == (NOBODY, NOBODY)
        assert caller.me().user == ANN

    # --- 15 -----------------------------------------------------------------------------------------------------------

    def check_15_renewed_in_flight(self) -> None:
        """A request under way that gives its session another id, or its login another token, does not take the login along."""
        self.install()
        caller, victim, other = (self.signed_in() for _ in range(3))
        before = victim.copy()
        with other.under_way("POST", "/slow-renew") as in_time:
            pass
        assert in_time.answer().status_code == 200
        assert who(other) == ANN  # where nothing was revoked meanwhile
        with victim.under_way("POST", "/slow-renew") as late:
            self.revokes_others(caller, 2)
        answer = late.answer()
        assert self.logins_set_by(answer) == []
        thief = before.copy()
        if self.site.tells_its_id:
            thief.plant(self.site.session_cookie, answer.text)  # who has read the new one somewhere else
        assert [who(browser) for browser in (victim, before, thief, other)] == [NOBODY] * 4
        assert who(caller) == ANN
        self.revokes_others(caller, 0)

    # --- 16, 17: all kinds of users -----------------------------------------------------------------------------------

    def check_16_disabled_user(self) -> None:
        """The sessions of a disabled user are revoked as anyone's, and do not live again when the user is enabled."""
        self.install()
        ann = [self.signed_in(), self.signed_in()]
        caller, other = self.signed_in(BOB), self.signed_in(BOB)
        self.site.disable(ANN)
        assert [who(browser) for browser in (*ann, caller, other)] == [NOBODY, NOBODY, BOB, BOB]
        count = self.site.revoke_all(ANN)
        assert count in (2, None) or not self.counts
        self.site.enable(ANN)
        assert [who(browser) for browser in (*ann, caller, other)] == [NOBODY, NOBODY, BOB, BOB]
        ann[1].login(ANN)
        assert [who(browser) for browser in ann] == [NOBODY, ANN]

        self.site.disable(BOB)
        early = caller.sign_out_others()  # whether a disabled user may is the application's affair
        assert early.status_code in (200, 401)
        self.site.enable(BOB)
        self.revokes_others(caller, 1 if early.status_code == 401 else 0)
        assert [who(browser) for browser in (*ann, caller, other)] == [NOBODY, ANN, BOB, NOBODY]

    def check_17_every_kind_of_id(self) -> None:
        """Users whose id is 0, another number or a UUID are revoked, and left alone, as anyone."""
        self.install()
        people = [(user, self.signed_in(user), self.signed_in(user)) for user in self.site.users]
        for user, caller, other in people:
            assert who(other) == user
            self.revokes_others(caller, 1)
            assert (who(caller), who(other)) == (user, NOBODY)
        assert [who(caller) for _, caller, _ in people] == list(self.site.users)
        for user, caller, _ in people:
            count = self.site.revoke_all(user)
            assert count in (1, None) or not self.counts
            assert count is None or who(caller) == NOBODY

    # --- 18, 19: too much, and nothing ----------------------------------------------------------------------------------

    def check_18_ten_thousand_sessions(self) -> None:
        """Ten thousand sessions of one user end within the timeout; in mode companion a sign-in leaves at most ``max_sessions``."""
        self.install()
        old, bob = self.signed_in(), self.signed_in(BOB)
        self.site.fill(old, ANN, self.many)
        caller = self.signed_in()
        self.revokes_others(caller, MAX_SESSIONS - 1 if self.site.mode == "companion" else self.many + 1)
        assert [who(browser) for browser in (old, caller, bob)] == [NOBODY, ANN, BOB]
        self.revokes_others(caller, 0)

    def check_19_silent_store(self) -> None:
        """A store that falls silent means 503 within the timeout; nobody is signed out, and all is well when it speaks again."""
        self.site.lay_beside_others()
        self.install()
        caller, other = self.signed_in(), self.signed_in()
        self.door(self.site, backend_timeout=TIMEOUT)
        with self.site.silent():
            answer = caller.start("DELETE", "/auth/sessions").answer(TIMEOUT + MARGIN)
        assert answer.status_code == 503
        assert (answer.headers["retry-after"] in "12345", answer.headers.get_list("set-cookie")) == (True, [])
        assert [who(browser) for browser in (caller, other)] == [ANN, ANN]
        self.revokes_others(caller, 1)
        assert [who(browser) for browser in (caller, other)] == [ANN, NOBODY]


def who(browser: Browser) -> str:
    return browser.me().user
