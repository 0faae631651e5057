"""Settings that cannot work are refused when the door is built, all in one message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sessionward
from sessionward.backends import Carrier
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.identify import Function
from tests.backends.keytable import KeyTable
from tests.companion.identifiers import Awaited, Signed, Stored, Tokens
from tests.doors.keepers import Foreign, Memory
from tests.doors.sides import SECRET

WSGI, ASGI = sessionward.WSGIMiddleware, sessionward.ASGIMiddleware


def mistakes(door: Any, backend: Any, identify: Any, **settings: Any) -> list[str]:
    """What the door says is wrong."""
    try:
        door(None, backend, secrets=[SECRET], identify=identify, **settings)
    except sessionward.ConfigurationError as error:
        return [*error.mistakes]
    return []


def both(name: str, value: str) -> str | None:
    return value


async def both_async(name: str, value: str) -> str | None:
    return value


@pytest.mark.parametrize(
    ("door", "backend", "identify"),
    [
        pytest.param(WSGI, MemoryBackend(), Signed(), id="in memory, WSGI"),
        pytest.param(ASGI, MemoryBackend(), Signed(), id="in memory, ASGI"),
        pytest.param(ASGI, MemoryBackend(), Awaited(Signed()), id="in memory, an async identifier"),
        pytest.param(ASGI, AsyncSQLBackend("sqlite:///x.db"), Awaited(Stored({})), id="SQL, an async identifier"),
        pytest.param(ASGI, AsyncSQLBackend("sqlite:///x.db"), Tokens(), id="async SQL, a sync identifier"),
        pytest.param(ASGI, SQLBackend("sqlite:///x.db"), Signed(), id="sync SQL under ASGI"),
        pytest.param(WSGI, SQLBackend("sqlite:///x.db"), Function(both, cookies=["session"]), id="a function, handed over"),
        pytest.param(ASGI, AsyncSQLBackend("sqlite:///x.db"), Function(both_async, cookies=["session"]), id="an async one"),
    ],
)
def test_what_can_work_is_taken(door: Any, backend: Any, identify: Any) -> None:
    assert mistakes(door, backend, identify) == []


class NoCookies:
    cookies = ()

    def identify(self, name: str, value: str) -> None: ...


class OneText:
    cookies = "session"

    def identify(self, name: str, value: str) -> None: ...


class Numbers:
    cookies = ("session", 7)

    def identify(self, name: str, value: str) -> None: ...


class NoList:
    def identify(self, name: str, value: str) -> None: ...


@pytest.mark.parametrize("door", [WSGI, ASGI])
@pytest.mark.parametrize(
    ("identify", "said"),
    [
        pytest.param(Signed, "identify: Signed is a class; pass an instance, Signed(...)", id="a class"),
        pytest.param(both, "identify: function has no identify(); pass it to sessionward.identify.Function", id="a bare function"),
        pytest.param("session", "identify: str has no identify(); see sessionward.identify.Identifier", id="a text"),
        pytest.param(NoCookies(), "lists neither cookies nor headers", id="no cookies"),
        pytest.param(OneText(), "OneText.cookies must be a list of cookie names", id="one text"),
        pytest.param(Numbers(), "Numbers.cookies must be a list of cookie names", id="numbers"),
        pytest.param(NoList(), "NoList.cookies must be a list of cookie names", id="no list"),
    ],
)
def test_what_is_no_identifier_is_refused(door: Any, identify: Any, said: str) -> None:
    (found,) = mistakes(door, MemoryBackend(), identify)
    assert said in found


@pytest.mark.parametrize("door", [WSGI, ASGI])
def test_a_backend_that_cannot_keep_companions_is_refused(door: Any, tmp_path: Path) -> None:
    for backend in (KeyTable(tmp_path / "app.db"), Foreign(Memory())):
        (found,) = mistakes(door, backend, Signed())
        assert found == f"identify: {type(backend).__name__} cannot keep companions; use SQLBackend, AsyncSQLBackend or MemoryBackend"


class Elsewhere(MemoryBackend):
    """Can do everything, over somebody else's cookie."""

    carriers = (Carrier.cookie("sid"),)


def test_so_is_one_whose_sessions_travel_elsewhere() -> None:
    (found,) = mistakes(WSGI, Elsewhere(), Signed())
    assert "cannot keep companions" in found


def test_an_async_identifier_under_wsgi_is_refused() -> None:
    assert mistakes(WSGI, MemoryBackend(), Awaited(Signed())) == [
        "identify: Awaited is async, and a WSGI application cannot await it; use a sync identifier"
    ]


def test_an_async_identifier_beside_a_sync_backend_that_waits_is_refused() -> None:
    (found,) = mistakes(ASGI, SQLBackend("sqlite:///x.db"), Awaited(Signed()))
    assert found == "identify: Awaited is async, so the backend must be async too: AsyncSQLBackend"


@pytest.mark.parametrize("door", [WSGI, ASGI])
def test_invalid_credentials_cannot_be_rejected(door: Any) -> None:
    (found,) = mistakes(door, MemoryBackend(), Signed(), on_invalid="reject")
    assert found.startswith("on_invalid: with identify it must be 'strip'")
    assert mistakes(door, MemoryBackend(), Signed(), on_invalid="strip") == []


@pytest.mark.parametrize("name", ["session", "remember", "part-0", "part-12"])
def test_our_cookie_cannot_have_the_name_of_a_login_cookie(name: str) -> None:
    (found,) = mistakes(WSGI, MemoryBackend(), Signed(), cookie_name=name)
    assert found.startswith(f"cookie_name: {name!r} is a login cookie of the application")


@pytest.mark.parametrize("name", ["sessions", "part-", "part-x", "sid"])
def test_it_can_have_one_that_is_like_it(name: str) -> None:
    assert mistakes(WSGI, MemoryBackend(), Signed(), cookie_name=name) == []


class NamedLikeOurs(Signed):
    cookies = ("__Host-session-ward",)


def test_nor_a_login_cookie_the_name_that_ours_has_by_default() -> None:
    (found,) = mistakes(WSGI, MemoryBackend(), NamedLikeOurs())
    assert found.startswith("cookie_name: '__Host-session-ward' is a login cookie of the application")


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = mistakes(WSGI, Foreign(Memory()), Awaited(Signed()), on_invalid="reject", cookie_name="session", lifetime=0)
    assert [mistake.partition(":")[0] for mistake in found] == ["lifetime", "identify", "identify", "on_invalid", "cookie_name"]
