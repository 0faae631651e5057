"""Neither the application's login credentials nor ours are ever shown: not by a repr, not in a log, not in an answer."""

from __future__ import annotations

import logging
import traceback
from typing import Final
from uuid import UUID

import pytest

from sessionward import StaleLogin
from sessionward.backends import CompanionStatus, Credential, Device
from sessionward.credential.login_cookies import LoginCredential, LoginNames, parse_login_credentials
from sessionward.identify import AnonymousSession, Identity
from sessionward.modes.companion.after import follow
from sessionward.modes.companion.before import admit
from sessionward.response.set_cookies import SetCookie, parse_set_cookies
from sessionward.session.identifier import IdentifierSpec, Identify, app_session_digest
from sessionward.session.session import NewSession, Session
from sessionward.session.steps import Adopt, Extend, Find, FindCompanionStatus
from sessionward.session.steps import Login as SignIn
from tests.companion.conftest import Site
from tests.companion.identifiers import Signed, sealed
from tests.companion.shops import Browser
from tests.companion.spelled import rules_of
from tests.support.core import NOON, SIGNED, TOKEN, answered, mode_of, opened

SECRET: Final = sealed("ann.1")
APP_SESSION: Final = app_session_digest(SECRET)
FIELD: Final = (b"cookie", b"session=" + SECRET.encode() + b'; "session"=' + SECRET.encode())
HEAD: Final = [(b"set-cookie", b"session=" + SECRET.encode())]
SHOWN: Final = [SECRET, repr(APP_SESSION)[2:-1], APP_SESSION.hex(), TOKEN.decode(), SIGNED.decode()]


def values() -> list[object]:
    """One of everything that holds a credential or a digest of one."""
    names = LoginNames([b"session"])
    found = parse_login_credentials(lambda name: FIELD[1] if name == b"cookie" else None, names)
    session = Session(id=UUID(int=1), user_id="ann", app_session=APP_SESSION, credential=Credential(TOKEN))
    new = NewSession(
        user_id="ann", digest=Credential(TOKEN).digest, lifetime=1.0, age=float, replaces=session, device=Device(), app_session=APP_SESSION
    )
    return [
        found,
        *found.credentials,
        LoginCredential("session", SECRET),
        *parse_set_cookies(HEAD, names, float),
        SetCookie("session", 0, SECRET, None, False, None),
        Identity(user_id="ann", session_id=SECRET),
        AnonymousSession(session_id=SECRET),
        Identify(IdentifierSpec.of(Signed()), "session", SECRET),
        FindCompanionStatus("ann", APP_SESSION),
        new,
        Adopt(new),
        Extend(session=session, app_session=APP_SESSION, lifetime=1.0),
        SignIn(new),
        session,
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_no_repr_shows_a_login_or_a_digest(value: object) -> None:
    assert not [secret for secret in SHOWN if secret in repr(value)]


def test_no_frame_of_a_failed_flow_shows_one_in_its_errors() -> None:
    here = opened(FIELD, mode=mode_of(identify=Signed()))
    played = answered(admit(rules_of(here.mode), here.context, None), lambda _: RuntimeError("silent"))
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
        for broken in ("find", "companion_status", "adopt", "login", "revoke", "extend"):
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
    here = opened(mode=mode_of(identify=Signed()))
    answers = {
        Identify: Identity(user_id="ann"),
        SignIn: StaleLogin("began before"),
        Find: None,
        FindCompanionStatus: CompanionStatus(companion_required=True, revoked_at=NOON),
    }
    played = answered(follow(rules_of(here.mode), here.context, HEAD), lambda step: answers[type(step)])
    assert (played.value, played.kinds) == ([], ["Identify", "Login"])
