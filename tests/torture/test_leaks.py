"""No token and no cookie in any log, error, repr or answer, whatever fails; no digest and no driver's text in an answer."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import sessionward
from sessionward import Session
from sessionward.backends import Credential, NewSession, public_id
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import new_token
from sessionward.door.handle import context_of
from sessionward.identify import AnonymousSession, Function, Identity
from sessionward.session.identifier import IdentifierSpec, Identify
from sessionward.session.steps import (
    Adopt,
    BeginLogin,
    Extend,
    Find,
    FindCompanionStatus,
    FindRevoked,
    IsRevokedAppSession,
    Login,
    Note,
    Renewed,
    Revoke,
    RevokeAll,
    RevokeOthers,
)
from tests.support.services import POSTGRESQL, redis_server
from tests.torture.conftest import Databases
from tests.torture.doors import PATH, Answer, ASGIDoor, Call, Door, WSGIDoor
from tests.torture.places import async_places, sync_place
from tests.torture.talkative import (
    QUOTED,
    QuotingConnection,
    TellingAsyncBackend,
    TellingAsyncLate,
    TellingAsyncTable,
    TellingBackend,
    TellingLate,
    TellingTable,
)

PASSWORD: Final = "Tr0ub4dor-of-the-database"
DRIVERS_WORDS: Final = [
    *[QUOTED, "no such table", "not a database", "refused", "SELECT", "Traceback"],
    *[
        "OperationalError",
        "DatabaseError",
        "InterfaceError",
        "ConnectionError",
        "WRONGPASS",
        "EVALSHA",
        "MOVED",
        "redis",
        "sqlite",
        "psycopg",
        "asyncpg",
        "mysql",
    ],
]


class Overheard(logging.Handler):
    """All that is logged, with tracebacks, as it would stand in a file."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.fixture
def overheard() -> Iterator[Overheard]:
    root, listener = logging.getLogger(), Overheard()
    before = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield listener
    finally:
        root.setLevel(before)
        root.removeHandler(listener)


class Browser:
    """Somebody who was signed in once: what nobody else may ever see."""

    def __init__(self) -> None:
        door = WSGIDoor(MemoryBackend(), timeout=2.0)
        self.cookie = door.sign_in("ann")
        self.value = self.cookie.partition("=")[2]
        self.token, _, self.signature = self.value.partition(".")
        self.other = new_token()

    def calls(self) -> list[Call]:
        """Everything that a client may do with a credential, well or badly."""
        forged = self.cookie[:-1] + ("A" if self.cookie[-1] != "A" else "B")
        own_table = f"sid={self.token}"
        return [
            Call(cookie=self.cookie),
            Call(token=self.token),
            Call(bearer=self.token),
            Call(token=self.token, bearer=self.other),
            Call(cookie=f"{self.cookie}; {forged}"),
            Call(cookie=forged),
            Call(path="/login/ann"),
            Call(path="/login/ann", cookie=self.cookie),
            Call("DELETE", PATH, cookie=self.cookie),
            Call("DELETE", PATH, token=self.token),
            Call("DELETE", PATH, bearer=self.token),
            Call("DELETE", PATH, token=self.token, bearer=self.other),
            Call("DELETE", PATH, cookie=forged),
            Call("DELETE", PATH, cookie=self.cookie, origin="https://evil.example"),
            Call("DELETE", PATH, cookie=self.cookie + "; a=" + "b" * 20_000),
            Call("DELETE", PATH, cookie=own_table),
            Call("DELETE", PATH, cookie=f"{own_table}; sid={self.other}"),
        ]

    def secrets(self) -> list[str]:
        return [self.token, self.other, self.value, self.signature, PASSWORD]

    def digests(self) -> list[str]:
        found = [Credential(token.encode()).digest for token in (self.token, self.other)]
        return [text for digest in found for text in (digest.hex(), repr(digest)[2:-1])]


# --- backends that fail -----------------------------------------------------------------------------------------------

Doors = Callable[[Path, bool], Door]
"""Makes a door around a backend that fails, in a folder, with or without ``debug``."""


def _wsgi(backend: Callable[[Path], Any]) -> Doors:
    return lambda folder, debug: WSGIDoor(backend(folder), timeout=2.0, debug=debug)


def _asgi(backend: Callable[[Path], Any]) -> Doors:
    return lambda folder, debug: ASGIDoor(lambda: backend(folder), timeout=2.0, debug=debug)


def _asgi_over_engine(folder: Path, debug: bool) -> Door:
    SQLBackend(f"sqlite:///{folder}/sessions.db").create_tables()
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/sessions.db", echo="debug", connect_args={"factory": QuotingConnection})
    return ASGIDoor(lambda: AsyncSQLBackend(engine), timeout=2.0, debug=debug, ending=engine.dispose)


def _over_engine(folder: Path) -> SQLBackend:
    url = f"sqlite:///{folder}/sessions.db"
    SQLBackend(url).create_tables()
    return SQLBackend(create_engine(url, echo="debug", connect_args={"factory": QuotingConnection}))


def _garbage(folder: Path) -> str:
    (folder / "sessions.db").write_bytes(b"this is no database" * 500)
    return _no_tables(folder)


def _no_tables(folder: Path) -> str:
    return f"sqlite:///{folder}/sessions.db"


def _nobody(scheme: str, database: str = "app") -> Callable[[Path], str]:
    def url(_: Path) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"{scheme}://keeper:{PASSWORD}@127.0.0.1:{free.getsockname()[1]}/{database}"

    return url


URLS: Final[dict[str, Callable[[Path], str]]] = {
    "tables are missing": _no_tables,
    "the file is no database": _garbage,
    "PostgreSQL is down": _nobody("postgresql"),
    "MariaDB is down": _nobody("mysql"),
}
REDIS_URLS: Final[dict[str, Callable[[Path], str]]] = {
    "Redis is down": _nobody("redis", "0"),
    "Redis Cluster is down": _nobody("redis+cluster", "0"),
    "Redis knows no such user": lambda _: redis_server().replace("redis://", f"redis://keeper:{PASSWORD}@"),
    "PostgreSQL where Redis should be": lambda _: f"redis://keeper:{PASSWORD}@{POSTGRESQL.host}:{POSTGRESQL.port or 5432}/0",
}
FAILING: Final[dict[str, Doors]] = {
    **{f"WSGI, {name}": _wsgi(lambda folder, url=url: RedisBackend(url(folder))) for name, url in REDIS_URLS.items()},  # type: ignore[misc]
    **{f"ASGI, {name}": _asgi(lambda folder, url=url: AsyncRedisBackend(url(folder))) for name, url in REDIS_URLS.items()},  # type: ignore[misc]
    **{f"WSGI, {name}": _wsgi(lambda folder, url=url: SQLBackend(url(folder))) for name, url in URLS.items()},  # type: ignore[misc]
    **{f"ASGI, {name}": _asgi(lambda folder, url=url: AsyncSQLBackend(url(folder))) for name, url in URLS.items()},  # type: ignore[misc]
    "ASGI by asyncpg, PostgreSQL is down": _asgi(lambda folder: AsyncSQLBackend(_nobody("postgresql+asyncpg")(folder))),
    "ASGI in threads, tables are missing": _asgi(lambda folder: SQLBackend(_no_tables(folder))),
    "WSGI, an Engine with echo and a driver that quotes": _wsgi(_over_engine),
    "ASGI, an Engine with echo and a driver that quotes": _asgi_over_engine,
    "WSGI, a backend that tells": _wsgi(lambda _: TellingBackend()),
    "ASGI, a backend that tells": _asgi(lambda _: TellingAsyncBackend()),
    "ASGI in threads, a backend that tells": _asgi(lambda _: TellingBackend()),
    "WSGI, a backend that tells at the end": _wsgi(lambda _: TellingLate()),
    "ASGI, a backend that tells at the end": _asgi(lambda _: TellingAsyncLate()),
    "WSGI, a table that tells": _wsgi(lambda _: TellingTable()),
    "ASGI, a table that tells": _asgi(lambda _: TellingAsyncTable()),
}


@contextmanager
def _quoting() -> Iterator[None]:
    QuotingConnection.quotes = True
    try:
        yield
    finally:
        QuotingConnection.quotes = False


def _shown(answer: Answer) -> str:
    return f"{answer.status} {answer.fields} {answer.body}"


@pytest.mark.parametrize("debug", [False, True], ids=["in production", "with debug"])
@pytest.mark.parametrize("name", FAILING)
def test_a_failure_shows_no_token_no_cookie_and_no_password(
    tmp_path: Path, overheard: Overheard, capfd: pytest.CaptureFixture[str], name: str, debug: bool
) -> None:
    browser = Browser()
    door = FAILING[name](tmp_path, debug)
    try:
        with _quoting():
            answers = [door(call) for call in browser.calls()]
    finally:
        door.close()
    assert sum(answer.status == 503 for answer in answers) >= 1
    printed = capfd.readouterr()
    everything = [*overheard.texts, *door.failures, printed.out, printed.err, *map(_shown, answers), repr(door)]
    for secret in browser.secrets():
        assert not [text for text in everything if secret in text]
    for answer in answers:
        if answer.body != "the application says so":
            assert not [word for word in [*DRIVERS_WORDS, *browser.digests()] if word in _shown(answer)]
    assert not [text for text in overheard.texts if QUOTED in text and text.startswith("sessionward ")]


@pytest.mark.parametrize("interface", ["WSGI", "ASGI"])
def test_what_goes_well_is_not_logged_and_shown_to_its_browser_alone(
    tmp_path: Path, overheard: Overheard, capfd: pytest.CaptureFixture[str], interface: str
) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"
    sync = create_engine(url, echo="debug")
    SQLBackend(sync).create_tables()
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"), echo="debug")
    door: Door = (
        WSGIDoor(SQLBackend(sync), timeout=2.0)
        if interface == "WSGI"
        else ASGIDoor(lambda: AsyncSQLBackend(engine), timeout=2.0, ending=engine.dispose)
    )
    cookies = [door.sign_in("ann") for _ in range(3)]
    tokens = [cookie.partition("=")[2].partition(".")[0] for cookie in cookies]
    answers = [
        door(Call(cookie=cookies[0])),
        door(Call("DELETE", PATH, token=tokens[0])),
        door(Call("DELETE", PATH, cookie=cookies[1])),
        door(Call(token=tokens[1])),
    ]
    door.close()
    sync.dispose()
    assert [answer.status for answer in answers] == [200, 200, 401, 200]
    printed = capfd.readouterr()
    everything = [*overheard.texts, printed.out, printed.err, *map(_shown, answers)]
    assert any("sessionward_sessions" in text for text in everything), "the echo is not on"
    assert not [text for text in everything for token in tokens if token in text]


@pytest.mark.parametrize("interface", ["WSGI", "ASGI"])
def test_what_goes_well_on_redis_is_not_logged_either(
    databases: Databases, overheard: Overheard, capfd: pytest.CaptureFixture[str], interface: str
) -> None:
    place = sync_place(databases, "redis")
    door: Door = (
        WSGIDoor(place.backend(), timeout=2.0)
        if interface == "WSGI"
        else ASGIDoor(async_places(databases, "redis")[0].backend, timeout=2.0)
    )
    cookies = [door.sign_in(f"ann-{interface}") for _ in range(3)]
    tokens = [cookie.partition("=")[2].partition(".")[0] for cookie in cookies]
    digests = [text for token in tokens for text in (digest_of(token).hex(), repr(digest_of(token))[2:-1])]
    answers = [door(Call(cookie=cookies[0])), door(Call("DELETE", PATH, cookie=cookies[1])), door(Call(cookie=cookies[2]))]
    door.close()
    assert [(answer.status, answer.body) for answer in answers[1:]] == [(200, '{"count": 2}'), (200, "anonymous")]
    printed = capfd.readouterr()
    everything = [*overheard.texts, printed.out, printed.err, *map(_shown, answers)]
    assert not [text for text in everything for secret in [*tokens, *digests] if secret in text]


def digest_of(token: str) -> bytes:
    return Credential(token.encode()).digest


def test_reprs_show_no_token_no_cookie_and_no_digest() -> None:
    browser = Browser()
    credential = Credential(browser.token.encode())
    session = Session(id=public_id(credential), user_id="ann", credential=credential, app_session=credential.digest)
    new = NewSession(user_id="ann", digest=credential.digest, lifetime=1.0, replaces=session, app_session=credential.digest)
    identity = Identity(user_id="ann", session_id=browser.token)
    spec = IdentifierSpec.of(Function(lambda _name, _value: identity, cookies=["sid"]))
    questions = [
        *(Find(credential), RevokeOthers(session), Revoke("ann", session.id), RevokeAll("ann"), BeginLogin("ann"), Login(new), Adopt(new)),
        *(FindCompanionStatus("ann", credential.digest), IsRevokedAppSession(credential.digest)),
        *(Extend(session=session, lifetime=1.0, app_session=credential.digest), FindRevoked([credential]), Note(credential)),
        Renewed(credential, [credential], float),
        Identify(spec, "sid", browser.value),
    ]
    told = [identity, AnonymousSession(session_id=browser.token)]
    seen: list[Any] = [credential, session, new, MemoryBackend(), *questions, *told]

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        sessions = sessionward.of(environ)
        sessions.login("ann")
        context = context_of(sessions)
        seen.extend([sessions, sessions.current, vars(type(sessions)), context, context.credential, context.request])
        start_response("200 OK", [])
        return []

    door = sessionward.WSGIMiddleware(application, MemoryBackend(), secrets=["k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"])
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_COOKIE": browser.cookie}
    head: list[Any] = []
    list(door(environ, lambda status, fields, exc_info=None, /: head.append(fields)))  # type: ignore[arg-type]
    minted = dict(head[0])["set-cookie"].partition("=")[2].partition(".")[0]
    for one in [*seen, door]:
        for text in (repr(one), str(one), f"{one}"):
            assert not [secret for secret in [*browser.secrets(), *browser.digests(), minted, "k3J9-sPq0"] if secret in text]


def test_canary_the_search_hears_what_is_said(overheard: Overheard) -> None:
    browser = Browser()
    try:
        raise LookupError(browser.token)
    except LookupError:
        logging.getLogger("somewhere").debug("it failed", exc_info=True)
    logging.getLogger("elsewhere").info("found %s", browser.value)
    assert [browser.token in text for text in overheard.texts] == [True, True]
