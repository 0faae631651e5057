"""Neither the application's login credentials nor ours are ever shown: not by a repr, not in a log, not in an answer."""

from __future__ import annotations

import logging
import traceback
from typing import Final

import pytest

from sessionward import StaleLogin
from sessionward.backends import CompanionStatus, Credential, Device
from sessionward.credential.login_cookies import LoginCredential, LoginNames, Stripped, parse_login_credentials, strip
from sessionward.identify import Identity
from sessionward.modes.companion.before import admit, see_off
from sessionward.response.set_cookies import SetCookie, parse_set_cookies
from sessionward.session.identifier import IdentifierSpec, Identify, app_session_digest
from sessionward.session.session import Session
from sessionward.session.steps import Adopt, Extend, Find, FindCompanionStatus
from sessionward.session.steps import Login as SignIn
from tests.companion.conftest import Site
from tests.companion.identifiers import Signed, sealed
from tests.companion.shops import Browser
from tests.support.core import NOON, SIGNED, TOKEN, answered, policy_of, visit_of

SECRET: Final = sealed("ann.1")
LINK: Final = app_session_digest(SECRET)
FIELD: Final = (b"cookie", b"session=" + SECRET.encode() + b'; "session"=' + SECRET.encode())
HEAD: Final = [(b"set-cookie", b"session=" + SECRET.encode())]
SHOWN: Final = [SECRET, repr(LINK)[2:-1], LINK.hex(), TOKEN.decode(), SIGNED.decode()]


def values() -> list[object]:
    """One of everything that holds a credential or a digest of one."""
    names = LoginNames([b"session"])
    found = parse_login_credentials(lambda name: FIELD[1] if name == b"cookie" else None, names)
    out = strip(found, [])
    assert out is not None
    session = Session(id="1", user_id="ann", app_session=LINK, credential=Credential(TOKEN))
    return [
        found,
        *found.logins,
        LoginCredential("session", SECRET),
        out,
        Stripped(SECRET.encode(), frozenset()),
        *parse_set_cookies(HEAD, names, float),
        SetCookie("session", 0, SECRET, None, False, None),
        Identity(user_id="ann", app_session=LINK),
        Identify(IdentifierSpec.of(Signed()), "session", SECRET),
        FindCompanionStatus("ann", LINK),
        Adopt(user_id="ann", credential=Credential(TOKEN), app_session=LINK, expires_in=1.0, device=Device()),
        Extend(session=session, app_session=LINK, expires_in=1.0),
        SignIn(
            user_id="ann",
            credential=Credential(TOKEN),
            since=None,
            age=float,
            replaces=session,
            expires_in=1.0,
            device=Device(),
            methods=(),
            app_session=LINK,
        ),
        session,
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_no_repr_shows_a_login_or_a_link(value: object) -> None:
    assert not [secret for secret in SHOWN if secret in repr(value)]


def test_no_frame_of_a_failed_flow_shows_one_in_its_errors() -> None:
    visit = visit_of(FIELD, policy=policy_of(identify=Signed()))
    played = answered(admit(visit, None), lambda _: RuntimeError("silent"))
    assert played.raised is not None
    assert not [secret for secret in SHOWN if secret in "".join(traceback.format_exception(played.raised))]


def test_the_flows_log_and_answer_nothing_of_them(memory: Site, caplog: pytest.LogCaptureFixture) -> None:
    shop, browser = memory.signing(debug=True)
    backend = memory.place.backend

    def fail() -> None:
        raise RuntimeError(SECRET)

    answers = []
    with caplog.at_level(logging.DEBUG):
        answers.append(browser.ask("GET", "/login/ann.1"))
        token = (browser.companion or "").partition(".")[0]
        for broken in ("find", "companion_status", "adopt", "login", "end", "touch"):
            backend.on = {broken: fail}
            for each in (browser.cloned(), browser.copied(), Browser(browser.house)):
                answers += [each.ask("GET", path) for path in ("/me", "/login/ann.1", "/login/bob.1", "/logout")]
                answers.append(each.press())
        backend.on = {}
        shop.identifier.before = fail
        answers += [browser.ask("GET", "/me"), browser.press()]
    assert len(token) == 32
    assert caplog.records
    ours = b"".join(answer.body for answer in answers if answer.status >= 400).decode()
    assert ours
    assert not [secret for secret in (SECRET, token, app_session_digest(SECRET).hex()) if secret in caplog.text + ours]


def test_what_is_stored_shows_no_login(memory: Site) -> None:
    _, browser = memory.signing()
    browser.get("/login/ann.1")
    (session,) = memory.place.live()
    assert SECRET not in repr(session)
    assert session.app_session == app_session_digest(SECRET)  # of the login as it was set: no copy of it, only its digest
    assert len(session.app_session) == 32


def test_a_stale_sign_in_says_nothing_of_it() -> None:
    visit = visit_of(policy=policy_of(identify=Signed()))
    answers = {
        Identify: Identity(user_id="ann"),
        SignIn: StaleLogin("began before"),
        Find: None,
        FindCompanionStatus: CompanionStatus(companion_required=True, revoked_at=NOON),
    }
    played = answered(see_off(visit, HEAD), lambda step: answers[type(step)])
    assert (played.value, played.kinds) == ([], ["Identify", "Login"])
