"""An adoption at the moment of a revocation: no companion is alive afterwards that it did not know of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import insert

import sessionward
from sessionward import Session, StaleLogin
from sessionward.backends import NewSession
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import new_token
from sessionward.session.identifier import app_session_digest
from sessionward.testing.bridge import PATIENCE, together
from tests.companion.identifiers import Signed, sealed
from tests.contract.doors import Answer, ask_wsgi, wsgi_environ
from tests.doors.sides import COOKIE, SECRET
from tests.support.sessions import new_session
from tests.torture.naive import THINKING, Naive
from tests.torture.tables import engine_of, key, row_id, sessions

TRIALS: Final = 25
ADOPTERS: Final = 4

Backend = SQLBackend


class AdoptsUnlocked(Naive):
    """Looks how the user stands, thinks, and adds the companion: what one would write first."""

    def adopt(self, new: NewSession, /) -> Session | None:
        assert new.app_session is not None
        if self.companion_status(new.user_id, new.app_session).companion_required:
            raise StaleLogin
        time.sleep(THINKING)
        now = datetime.now(UTC)
        session = Session(id=uuid4(), user_id=new.user_id, app_session=new.app_session)
        names = {"id": row_id(self.engine, session), "user_id": key(self.engine, new.user_id), "digest": new.digest}
        times = {"issued_at": now, "authenticated_at": now, "last_seen_at": now, "expires_at": now + timedelta(seconds=new.lifetime)}
        with self.engine.connect() as connection:
            self.change(connection, insert(sessions).values(**names, **times, app_session=new.app_session, methods=""))
        return session


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with our tables."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    backend = SQLBackend(found, timeout=PATIENCE)
    backend.create_tables()
    backend.close()
    return found


@pytest.fixture
def ours(database_url: str) -> Iterator[Backend]:
    backend = SQLBackend(database_url, pool_size=ADOPTERS + 2, timeout=PATIENCE)
    yield backend
    backend.close()


@pytest.fixture
def naive(database_url: str) -> Iterator[Backend]:
    backend = AdoptsUnlocked(database_url, engine_of(database_url), timeout=PATIENCE)
    yield backend
    backend.close()


def adopt(backend: Backend, user: str, app_session: bytes, after: float = 0.0) -> Session | None:
    time.sleep(after)
    return backend.adopt(new_session(user, new_token(), app_session=app_session))


@dataclass
class Outcome:
    """``alive``: trials after which another companion than the caller's is alive; ``adopted``, ``refused``: of all adoptions."""

    alive: int = 0
    adopted: int = 0
    refused: int = 0
    wrong: int = 0
    """Counts of the revocation that do not fit, and errors of any other kind."""


def race(backend: Backend, *, everybody: bool = False) -> Outcome:
    """So many trials, each of a user of its own: one revocation against adoptions of that user's logins."""
    outcome = Outcome()
    for trial in range(TRIALS):
        user = f"race {uuid4()}"
        own = adopt(backend, user, app_session_digest("own"))
        assert own is not None
        revoke: Callable[[], Any] = partial(backend.revoke_all, user) if everybody else partial(backend.revoke_others, own)
        delays = [THINKING * 3 * (trial % 5) / 5] * ADOPTERS
        adoptions = [partial(adopt, backend, user, app_session_digest(f"login {number}"), after) for number, after in enumerate(delays)]
        count, *came = together(partial(_after, THINKING, revoke), *adoptions)
        left = [session.id for session in backend.list(user) if session.id != own.id]
        outcome.alive += bool(left)
        outcome.adopted += sum(isinstance(one, Session) for one in came)
        outcome.refused += sum(isinstance(one, StaleLogin) for one in came)
        outcome.wrong += sum(not isinstance(one, (Session, StaleLogin)) for one in came)
        outcome.wrong += count != sum(isinstance(one, Session) for one in came) + everybody - len(left)
    return outcome


def _after(seconds: float, call: Callable[[], Any]) -> Any:
    time.sleep(seconds)
    return call()


@pytest.mark.parametrize("everybody", [False, True], ids=["revoke_others", "revoke_all"])
def test_no_companion_is_adopted_after_the_commit_of_a_revocation(ours: Backend, everybody: bool) -> None:
    outcome = race(ours, everybody=everybody)
    assert (outcome.alive, outcome.wrong) == (0, 0), outcome
    assert outcome.adopted, "nobody was fast enough: this showed nothing"
    assert outcome.refused, "nobody was late: this showed nothing"


def test_canary_an_adoption_without_the_lock_is_seen(naive: Backend) -> None:
    outcome = race(naive)
    assert outcome.alive > TRIALS / 10, outcome


def test_of_requests_of_one_login_at_once_exactly_one_is_given_a_companion(ours: Backend) -> None:
    for _ in range(TRIALS):
        app_session, user = app_session_digest(new_token()), f"race {uuid4()}"
        came = together(*(partial(adopt, ours, user, app_session) for _ in range(ADOPTERS)))
        assert sorted(type(one).__name__ for one in came) == ["NoneType"] * (ADOPTERS - 1) + ["Session"]


# --- through the door -------------------------------------------------------------------------------------------------


def application(environ: Any, start_response: Any) -> Sequence[bytes]:
    time.sleep(THINKING)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_COOKIE", "").encode()]


def ask(door: Any, cookie: str, method: str = "GET", path: str = "/") -> Answer:
    return ask_wsgi(door, wsgi_environ(method, path, {"Cookie": cookie}))


def companion_in(answer: Answer) -> str | None:
    found = [value.partition(";")[0] for name, value in answer.headers if name.lower() == "set-cookie"]
    return next((pair for pair in found if pair.startswith(COOKIE)), None)


def test_through_the_door_no_browser_but_the_callers_is_signed_in_afterwards(ours: Backend) -> None:
    door = sessionward.WSGIMiddleware(application, ours, secrets=[SECRET], identify=Signed(), backend_timeout=PATIENCE)
    given = kept_out = 0
    for trial in range(TRIALS):
        user = f"race-{uuid4()}"
        own = f"session={sealed(f'{user}.own')}"
        companion = companion_in(ask(door, own))
        assert companion is not None
        logins = [f"session={sealed(f'{user}.{number}')}" for number in range(ADOPTERS)]
        press = partial(_after, THINKING * (trial % 4), partial(ask, door, f"{own}; {companion}", "DELETE", "/auth/sessions"))
        pressed, *answers = together(press, *(partial(ask, door, login) for login in logins))
        assert isinstance(pressed, Answer)
        assert pressed.status == 200
        for login, answer in zip(logins, answers, strict=True):
            assert isinstance(answer, Answer)
            its = companion_in(answer)
            given += its is not None
            kept_out += its is None
            assert ask(door, login).body == b""
            assert ask(door, f"{login}; {its}" if its else login).body == b""
        assert ask(door, f"{own}; {companion}").body.startswith(own.encode())
    assert given, "nobody was fast enough: this showed nothing"
    assert kept_out, "nobody was late: this showed nothing"
