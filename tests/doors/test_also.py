"""The setting ``also``: the application revokes what stands beside the sessions, after each call of the endpoint."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from sessionward import ConfigurationError, SessionRevoked
from sessionward.backends.sql import SQLBackend
from tests.doors.keepers import Keeper, Memory
from tests.doors.sides import SESSIONS, Answer, Browser, Builder, House, town

CANARY = "canary-of-the-application"


class Hook:
    """What the application is told. ``raises``: what it raises from now on."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.threads: set[int] = set()
        self.raises: BaseException | None = None
        self.at = 0.0

    def __call__(self, user_id: str) -> None:
        self.users.append(user_id)
        self.threads.add(threading.get_ident())
        self.at = monotonic()
        if self.raises is not None:
            raise self.raises


class AsyncHook(Hook):
    """The same, async."""

    async def __call__(self, user_id: str) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().__call__(user_id)


@pytest.fixture(params=["sync", "async"])
def hook(request: pytest.FixtureRequest, build: Builder) -> Hook:
    if request.param == "sync":
        return Hook()
    if not build.is_asgi:
        pytest.skip("a WSGI application cannot await")
    return AsyncHook()


@pytest.fixture(params=["memory", "sqlite", "sqlite in threads"])
def backend(request: pytest.FixtureRequest, build: Builder, sqlite: Callable[..., Keeper], sqlite_url: str) -> Any:
    """One for each driver."""
    if request.param == "memory":
        return Memory()
    made = sqlite()
    if request.param == "sqlite":
        return made.backend
    if not build.is_asgi:
        pytest.skip("under WSGI the backend is in the thread of the request")
    return SQLBackend(sqlite_url)


def two_of(house: House, user: str = "ann") -> tuple[Browser, Browser]:
    browsers = Browser(house), Browser(house)
    for browser in browsers:
        browser.sign_in(user)
    return browsers


def test_it_is_called_with_the_user_after_each_success_also_where_there_was_nothing_to_revoke(
    build: Builder, backend: Any, hook: Hook
) -> None:
    here, there = two_of(build(town, backend, also=hook))
    assert here.press().json() == {"count": 1}
    assert (hook.users, there.me()) == (["ann"], "nobody")
    assert here.press().json() == {"count": 0}
    assert hook.users == ["ann", "ann"]


def test_a_failure_of_it_is_503_outcome_unknown_and_the_next_call_calls_it_again(
    build: Builder, backend: Any, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = two_of(build(town, backend, also=hook, rate_limit=1))
    hook.raises = ValueError(CANARY)
    answer = here.press()
    assert (answer.status, answer.error) == (503, "outcome_unknown")
    assert answer.values("retry-after")
    assert (here.me(), there.me()) == ("ann", "nobody")
    assert CANARY not in answer.body.decode() + caplog.text
    assert re.search(
        r"the function of the setting 'also' is not done: it failed with builtins\.ValueError at \S+test_also\.py:\d+\. The sessions were"
        r" revoked; the client gets 503 outcome_unknown, and the next call calls the function again",
        caplog.text,
    )
    hook.raises = None
    assert here.press().json() == {"count": 0}
    assert hook.users == ["ann", "ann"]


def test_whatever_it_raises_is_no_401(build: Builder, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    here, _ = two_of(build(town, also=hook))
    hook.raises = SessionRevoked("of another library")
    assert (here.press().status, here.press().error) == (503, "outcome_unknown")
    assert "the function of the setting 'also' is not done" in caplog.text


@pytest.mark.parametrize("end", [SystemExit(3), asyncio.CancelledError(), StopIteration()], ids=lambda end: type(end).__name__)
def test_nothing_that_it_raises_leaves_the_client_without_an_answer(build: Builder, backend: Any, hook: Hook, end: BaseException) -> None:
    here, there = two_of(build(town, backend, also=hook))
    hook.raises = end
    answer = here.press()
    assert (answer.status, answer.error, there.me()) == (503, "outcome_unknown", "nobody")
    hook.raises = None
    assert here.press().json() == {"count": 0}


def test_an_async_function_whose_own_task_was_cancelled_is_503(build: Builder, backend: Any) -> None:
    if not build.is_asgi:
        pytest.skip("a WSGI application cannot await")

    async def awaits(user_id: str) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        await asyncio.sleep(0)
        task.cancel()
        await task

    here, _ = two_of(build(town, backend, also=awaits))
    assert (here.press().status, here.press().error) == (503, "outcome_unknown")


def test_it_is_called_by_nothing_but_a_success_of_the_endpoint(build: Builder) -> None:
    hook, memory = Hook(), Memory()
    house = build(town, memory, also=hook, api=True)
    here, _ = two_of(house)
    (other,) = here.ask("GET", SESSIONS).json()
    calls: dict[int, Callable[[], Answer]] = {
        401: lambda: Browser(house).press(),
        403: lambda: here.press(("Sec-Fetch-Site", "cross-site")),
        204: lambda: here.ask("DELETE", f"{SESSIONS}/{other['id']}"),
        200: lambda: here.ask("POST", "/revoke_others"),
    }
    assert {status: call().status for status, call in calls.items()} == {status: status for status in calls}
    memory.fail(RuntimeError(CANARY))
    assert here.press().status == 503
    assert hook.users == []


OWN_PAGE = (("Origin", "https://app.example"), ("Sec-Fetch-Site", "same-origin"), ("Accept", "text/html"))


def test_the_form_of_the_page_calls_it_and_that_for_one_session_does_not(build: Builder) -> None:
    hook = Hook()
    here, _ = two_of(build(town, also=hook, api=True))
    (other,) = here.ask("GET", SESSIONS).json()
    assert here.ask("POST", f"{SESSIONS}/{other['id']}/revoke", *OWN_PAGE).status == 303
    assert hook.users == []
    assert here.ask("POST", f"{SESSIONS}/revoke-others", *OWN_PAGE).status == 303
    assert hook.users == ["ann"]
    hook.raises = ValueError(CANARY)
    answer = here.ask("POST", f"{SESSIONS}/revoke-others", *OWN_PAGE)
    assert (answer.status, b"outcome_unknown" in answer.body) == (503, True)


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        pytest.param({"rate_limit": 1}, [200, 429], id="too often"),
        pytest.param({"recent": 60}, [200, 403], id="too long after the sign-in"),
    ],
)
def test_a_limit_that_refuses_the_call_calls_nothing(build: Builder, settings: dict[str, Any], statuses: list[int]) -> None:
    hook, memory = Hook(), Memory()
    house = build(town, memory, also=hook, **settings)
    here, _ = two_of(house)
    found = [here.press().status]
    memory.now += 90
    Browser(house).sign_in("ann")
    assert [*found, here.press().status] == statuses
    assert hook.users == ["ann"]


def test_it_never_runs_on_the_thread_of_the_event_loop_or_of_the_request(build: Builder, backend: Any) -> None:
    hook = Hook()
    here, _ = two_of(build(town, backend, also=hook))
    here.press()
    assert hook.threads.isdisjoint({threading.get_ident()})


def test_a_function_that_does_not_return_is_503_at_the_deadline(build: Builder, backend: Any) -> None:
    over = threading.Event()

    def waits(user_id: str) -> None:
        over.wait(20)

    here, there = two_of(build(town, backend, also=waits, backend_timeout=2.0))
    began = monotonic()
    answer = here.press()
    over.set()
    assert (answer.status, answer.error, there.me()) == (503, "outcome_unknown", "nobody")
    assert monotonic() - began < 10


def test_an_async_function_that_does_not_return_is_cancelled_at_the_deadline(build: Builder, backend: Any) -> None:
    if not build.is_asgi:
        pytest.skip("a WSGI application cannot await")
    cancelled: list[bool] = []

    async def waits(user_id: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    here, there = two_of(build(town, backend, also=waits, backend_timeout=2.0))
    answer = here.press()
    assert (answer.status, answer.error, there.me()) == (503, "outcome_unknown", "nobody")
    assert cancelled == [True]


def test_a_function_that_forgets_to_await_is_503_and_warns_of_nothing(build: Builder, caplog: pytest.LogCaptureFixture) -> None:
    async def awaited(user_id: str) -> None:
        raise AssertionError

    here, _ = two_of(build(town, also=lambda user_id: awaited(user_id)))
    assert (here.press().status, here.press().error) == (503, "outcome_unknown")
    assert "the function is sync but returns an awaitable" in caplog.text


def test_it_is_called_after_the_wait_for_the_lease(build: Builder, sqlite: Callable[..., Keeper]) -> None:
    hook, made = Hook(), sqlite()
    house = build(town, made.backend, also=hook, lease=0.3)
    here, _ = two_of(house)
    here.me()
    assert made.aside.lease_wait() == 0.3
    began = monotonic()
    assert here.press().json() == {"count": 1}
    assert hook.at - began >= 0.33


def test_it_may_take_its_time_beside_the_wait(build: Builder, sqlite: Callable[..., Keeper]) -> None:
    """The deadline is for work, not for leases."""
    hook = Hook()
    house = build(town, sqlite().backend, also=hook, lease=2.5, backend_timeout=2.0)
    here, _ = two_of(house)
    here.me()
    assert (here.press().status, hook.users) == (200, ["ann"])


def test_under_wsgi_an_async_function_is_refused_at_start(build: Builder) -> None:
    if build.is_asgi:
        build(town, also=AsyncHook())
        return
    with pytest.raises(ConfigurationError, match="also: this function is async, and a WSGI application cannot await it"):
        build(town, also=AsyncHook())


def test_its_user_is_in_the_log_only_as_a_mark(build: Builder, caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook()
    hook.raises = RuntimeError(CANARY)
    here, _ = two_of(build(town, also=hook), "ann@example.com")
    with caplog.at_level(logging.DEBUG):
        here.press()
    assert "ann@example.com" not in caplog.text
