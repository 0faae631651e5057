"""What must be true of every framework: the contract, one method for each check. Names are the rows of the matrix.

Each method takes a site as it is before the installation, puts the door around it and tells a story with browsers. It
raises AssertionError where the claim does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Final
from unittest.mock import patch

import httpx2
import time_machine

from sessionward.testing.bridge import together
from tests.matrix.around import Around
from tests.matrix.browser import NOBODY, Browser, Me
from tests.matrix.looking import met
from tests.matrix.story import ANN, BOB, DoesNotApply

ROUNDS: Final = 3
"""Times that two callers meet."""


class Contract(Around):
    """The checks of one site; those from number 10 on are in ``Around``."""

    # --- 1, 2, 3 ------------------------------------------------------------------------------------------------------

    def check_1_caller_stays(self) -> None:
        """The caller keeps working, with the same cookies and the same data; the count is of what really lived."""
        self.install()
        caller, *others = (self.signed_in() for _ in range(3))
        caller.put("tea")
        before = caller.jar()
        self.revokes_others(caller, len(others))
        assert caller.jar() == before
        assert caller.me() == Me(ANN, "tea")
        self.revokes_others(caller, 0)

    def check_2_others_are_out(self) -> None:
        """The application itself refuses the user's other browsers at their next request; other users notice nothing."""
        self.install()
        caller, other, bob = self.signed_in(), self.signed_in(), self.signed_in(BOB)
        bob.put("coffee")
        self.revokes_others(caller, 1)
        assert other.me().user == NOBODY
        assert bob.me() == Me(BOB, "coffee")
        assert caller.me().user == ANN

    def check_3_inactive_sessions_do_not_count(self) -> None:
        """Anonymous, expired and revoked sessions are neither counted nor touched."""
        self.install()
        caller, other = self.signed_in(), self.signed_in()
        visitor = Browser(self.site)
        assert visitor.ask("GET", "/anonymous-visit").status_code == 200
        expired = self.site.expired(ANN)
        self.install()  # so long ago that every worker has begun anew since, and remembers nothing
        assert expired.me().user == NOBODY
        left = self.signed_in()
        left.logout()
        self.revokes_others(caller, 1)
        self.revokes_others(caller, 0)
        assert other.me().user == NOBODY
        assert visitor.me() == Me(NOBODY, "tea" if self.site.keeps_anonymous else "")

    # --- 4: what was under way ----------------------------------------------------------------------------------------

    def check_4a_in_flight_read(self) -> None:
        """A request that has read the session and is still under way does not bring it back, and hands out no login."""
        self.install()
        self._refuses_late("GET", "/slow-read")

    def check_4b_in_flight_write(self) -> None:
        """The same of one that has written into the session."""
        self.install()
        self._refuses_late("POST", "/slow-write", item="late")

    def _refuses_late(self, method: str, path: str, **form: str) -> None:
        caller, victim = self.signed_in(), self.signed_in()
        caller.put("tea")
        before = victim.copy()
        with victim.under_way(method, path, **form) as late:
            self.revokes_others(caller, 1)
        answer = late.answer()
        assert self.logins_set_by(answer) == []
        assert victim.me().user == NOBODY
        assert before.me().user == NOBODY
        assert caller.me() == Me(ANN, "tea")
        victim.login(ANN)
        assert victim.me().user == ANN
        assert before.me().user == NOBODY

    def check_4c_late_in_the_store(self) -> None:
        """A store that fills a cache, or replaces a file, in the middle of the call does not bring the session back."""
        if self.site.halfway is None:
            raise DoesNotApply("between its look and its write the store does nothing that could be held up; 4a and 4b hold up the rest")
        self.install()
        caller, victim = self.signed_in(), self.signed_in()
        before = victim.copy()
        method, path = self.site.halfway
        form = {"item": "late"} if method == "POST" else {}
        with self.site.held_halfway(victim), victim.under_way(method, path, **form) as late:
            self.revokes_others(caller, 1)
        assert self.logins_set_by(late.answer()) == []
        assert victim.me().user == NOBODY
        assert before.me().user == NOBODY
        victim.login(ANN)
        assert (victim.me().user, before.me().user) == (ANN, NOBODY)

    # --- 5, 6, 7: the other devices, and thieves ----------------------------------------------------------------------

    def check_5_remember_me(self) -> None:
        """A browser that asked to be remembered is not let in again by that."""
        if self.site.remember_cookie is None:
            raise DoesNotApply("this login hands out no remember-me credential")
        self.install()
        caller, victim = self.signed_in(remember=True), self.signed_in(remember=True)
        later = victim.copy(self.site.remember_cookie)
        self.revokes_others(caller, 1)
        assert victim.me().user == NOBODY
        assert later.me().user == NOBODY
        victim.drop(self.site.session_cookie)
        assert victim.me().user == NOBODY
        caller.drop(self.site.session_cookie)  # as a browser that was closed
        assert caller.me().user == ANN

    def check_6_signs_in_again_at_once(self) -> None:
        """The victim signs in again in the same second, and gets another session than the one that was revoked."""
        self.install()
        begun = time_machine.travel(datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1))  # a second has just begun
        with begun, patch("sessionward.backends.sql.queries.CLOCK_RATE", 0.0):  # nor does it matter how long the sign-in takes
            caller, victim = self.signed_in(), self.signed_in()
            before, stolen = victim.copy(), victim.copy(*self.site.login_cookies)
            self.revokes_others(caller, 1)
            victim.login(ANN)
            assert victim.me().user == ANN
            assert before.me().user == NOBODY
            assert stolen.me().user == NOBODY
            assert victim.me().user == ANN
            self.revokes_others(caller, 1)

    def check_7a_copied_cookie(self) -> None:
        """A copy of the application's cookies does not get past the call; in mode companion not even a copy of the caller's."""
        self.install()
        caller, victim = self.signed_in(), self.signed_in()
        thieves = [victim.copy(*self.site.login_cookies)]
        if self.site.mode == "companion":
            thieves.append(caller.copy(*self.site.login_cookies))
        thieves.append(self.signed_in(BOB))  # who lays the victim's cookie beside a companion of his own
        thieves[-1].drop(*self.site.login_cookies)
        for name in victim.jar().keys() & set(self.site.login_cookies):
            thieves[-1].plant(name, victim.jar()[name])
        self.revokes_others(caller, 1)
        assert [thief.me().user for thief in thieves] == [NOBODY] * len(thieves)
        assert victim.me().user == NOBODY
        assert caller.me().user == ANN

    def check_7b_chosen_id(self) -> None:
        """A session id that somebody planted before the sign-in is not the user's session afterwards."""
        self.install()
        victim, attacker = Browser(self.site), Browser(self.site)
        for browser in (victim, attacker):
            browser.plant(self.site.session_cookie, self.site.chosen_id)
        victim.login(ANN)
        assert victim.me().user == ANN
        assert victim.jar()[self.site.session_cookie] != self.site.chosen_id
        assert attacker.me().user == NOBODY

    # --- 8, 9 ---------------------------------------------------------------------------------------------------------

    def check_8_two_callers(self) -> None:
        """Two browsers that revoke each other at once: one is left, the other is told that it is out."""
        self.install()
        one, two = self.signed_in(), self.signed_in()
        for _ in range(ROUNDS):
            self.site.between = met(Barrier(2))
            answers = together(one.sign_out_others, two.sign_out_others)
            statuses = [answer.status_code for answer in answers if isinstance(answer, httpx2.Response)]
            assert sorted(statuses) == [200, 401]
            winner, loser = (one, two) if statuses[0] == 200 else (two, one)
            assert winner.me().user == ANN
            assert loser.me().user == NOBODY
            loser.login(ANN)

    def check_9_another_users_id(self) -> None:
        """A session that was the user's and is another user's now, under the same id or in the same browser, stays."""
        self.install()
        caller, shared, lent = self.signed_in(), self.signed_in(), self.signed_in()
        shared.logout()
        shared.login(BOB)
        lent.login(BOB)  # without a sign-out before
        self.revokes_others(caller, 1 if self.site.forgets_without_revoking else 0)
        assert (shared.me().user, lent.me().user) == (BOB, BOB)
        self.revokes_others(lent, 1)
        assert (caller.me().user, lent.me().user, shared.me().user) == (ANN, BOB, NOBODY)
        self.site.mislead_the_index(ANN)
        self.revokes_others(caller, 0)
        assert (caller.me().user, lent.me().user) == (ANN, BOB)


def named(method: str) -> str:
    return method.removeprefix("check_").replace("_", "-")


CHECKS: Final[Mapping[str, Callable[[Contract], None]]] = {
    named(name): method for part in (Contract, Around) for name, method in vars(part).items() if name.startswith("check_")
}
"""Every check by its spoken name, in their order."""
