"""What sessions in Redis cost: the button, a guarded request, a million sessions, served requests, and checks on a cluster."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, cycle
from pathlib import Path
from time import perf_counter
from typing import Any, Final, TypeAlias

import pytest
import redis
import redis.asyncio
from starlette.types import ASGIApp, Receive, Scope, Send

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends import Credential
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.wsgi import Environ, StartResponse, WSGIApplication
from tests.benchmarks import redis_cluster, redis_growth, redis_served
from tests.benchmarks.measure import (
    Effort,
    LeftOut,
    Result,
    Rounds,
    Row,
    added,
    alternate,
    compared,
    ratios,
    repeated,
    times,
    trials,
    typical,
)
from tests.benchmarks.requests import (
    SECRET,
    Fields,
    Run,
    asgi_application,
    asgi_requests_that_wait,
    awaited,
    event_loop,
    signed_in_application,
    signed_in_asgi_application,
    wsgi_application,
    wsgi_requests_that_wait,
)
from tests.benchmarks.signing import Browsers, first_sight, tokens
from tests.support.redis_servers import one_redis

Client: TypeAlias = redis.Redis

SESSIONS: Final = 10
BUSY, ENDED = "busy", 1_000
"""A user of whom so many sessions have just ended. They are kept for an hour."""
NAME: Final = "revoke_others on Redis"
GUARDED: Final = "guarded request on Redis, time added"
GET: Final = "one GET that the application makes, by redis-py, time added"


def measure(effort: Effort) -> Iterator[Result]:
    quick = effort.rounds < Effort.full().rounds
    with tempfile.TemporaryDirectory() as folder:
        try:
            with one_redis(Path(folder)) as server:
                backend = RedisBackend(server.url)
                browsers = Browsers.signed_in(backend)
                with redis.Redis.from_url(server.url) as client:
                    yield from _revoke_others(backend, client, 3 if quick else 15, 20)
                    yield from _sync(server.url, client, browsers, effort.longer())
                yield from _async(server.url, browsers, effort.longer())
                backend.close()
        except pytest.skip.Exception as missing:
            yield LeftOut("sessions in Redis", str(missing))
            return
    yield from redis_growth.measure(effort)
    yield from redis_served.measure(effort)
    yield from redis_cluster.measure(effort)


# --- the button -------------------------------------------------------------------------------------------------------


def _revoke_others(backend: RedisBackend, client: Client, rounds: int, each: int) -> Iterator[Row]:
    """Ten sessions, one of which revokes the others: alone, and with the look at the session before it, as the endpoint does."""

    users = (f"user of {number}" for number in count())
    for _ in range(ENDED // 100):
        tokens(backend, BUSY, 100)
        backend.revoke_all(BUSY)

    def ours(user: str = "", *, find: bool = False) -> float:
        token = Credential(tokens(backend, user or next(users), SESSIONS)[-1].encode())
        known = None if find else backend.find(token)
        began = perf_counter()
        session = known or backend.find(token)
        assert session is not None
        revoked = backend.revoke_others(session)
        took = perf_counter() - began
        assert revoked >= SESSIONS - 1
        backend.revoke_all(session.user_id)
        return took

    def by_hand(*, find: bool) -> float:
        user = next(users)
        keys = _sign_in_by_hand(client, user, SESSIONS)
        kept = keys[-1].encode()
        began = perf_counter()
        if find:
            assert json.loads(client.get(keys[-1]) or b"")["user_id"] == user
        others = [key for key in client.smembers(f"user:{user}:sessions") if key != kept]
        revoked = client.unlink(*others)
        took = perf_counter() - began
        assert revoked == SESSIONS - 1
        return took

    sides: dict[str, Callable[[], float]] = {
        "ours": ours,
        "busy": lambda: ours(BUSY),
        "by hand": lambda: by_hand(find=False),
        "ours, found": lambda: ours(find=True),
        "by hand, found": lambda: by_hand(find=True),
    }
    found = trials(sides, rounds, each)
    for ours_is, other, measured, told, limit in (
        ("ours", "by hand", f"{NAME}, {SESSIONS} live sessions, p50", "SMEMBERS + UNLINK by hand", 1.5),
        ("ours, found", "by hand, found", "the same with the check before it", "GET, SMEMBERS + UNLINK by hand", None),
        ("busy", "ours", f"the same, {ENDED:,} sessions of the user ended within the hour", "a user without them", None),
    ):
        figures = ratios(found[ours_is], found[other])
        yield Row(measured, typical(found[ours_is]), f"{told} {typical(found[other])}", figures, times, limit)


def _sign_in_by_hand(client: Client, user: str, number: int) -> Sequence[str]:
    """The keys of so many sessions, as they are kept by hand: one key for each, and a set of them for the user."""
    keys = [f"session:{user}:{one}" for one in range(number)]
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.set(key, _record(user), ex=86_400)
        pipeline.sadd(f"user:{user}:sessions", *keys)
        pipeline.execute()
    return keys


def _record(user: str) -> str:
    return json.dumps({"user_id": user, "ip": "127.0.0.1", "user_agent": "Mozilla/5.0", "created": 1_800_000_000})


# --- a guarded request ------------------------------------------------------------------------------------------------


def _keys(client: Client, browsers: Browsers) -> Sequence[str]:
    """The keys of a session of each browser by hand, for GET."""
    return [_sign_in_by_hand(client, f"user {number}", 1)[0] for number, _ in enumerate(browsers.tokens)]


def _sync(url: str, client: Client, browsers: Browsers, effort: Effort) -> Iterator[Row]:
    cookies, backend = browsers.cookies(), RedisBackend(url)

    def guarded(secret: str, each: Sequence[Fields]) -> Any:
        return wsgi_requests_that_wait(WSGIMiddleware(wsgi_application, backend, secrets=[secret]), each)

    wsgi_requests_that_wait(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), cookies)(len(cookies))
    rounds = alternate(
        {
            "get": wsgi_requests_that_wait(_that_gets(client, _keys(client, browsers)), cookies),
            "bare": wsgi_requests_that_wait(wsgi_application, cookies),
            "seen": guarded(SECRET, cookies),
            "first sight": first_sight(browsers, guarded),
            "check": repeated(backend.find, [Credential(token.encode()) for token in browsers.tokens]),
        },
        effort,
    )
    backend.close()
    yield from _rows("WSGI", rounds)


def _async(url: str, browsers: Browsers, effort: Effort) -> Iterator[Row]:
    with event_loop() as run, redis.Redis.from_url(url) as loading:
        keys = _keys(loading, browsers)
        backend, client = AsyncRedisBackend(url), redis.asyncio.Redis.from_url(url)
        yield from _rows("ASGI", _async_rounds(backend, client, keys, browsers, run, effort))
        run(client.aclose())
        run(backend.close())


def _async_rounds(backend: AsyncRedisBackend, client: Any, keys: Sequence[str], browsers: Browsers, run: Run, effort: Effort) -> Rounds:
    cookies = browsers.cookies()

    def guarded(secret: str, each: Sequence[Fields]) -> Any:
        return asgi_requests_that_wait(ASGIMiddleware(asgi_application, backend, secrets=[secret]), each, run)

    asgi_requests_that_wait(ASGIMiddleware(signed_in_asgi_application, backend, secrets=[SECRET]), cookies, run)(len(cookies))
    return alternate(
        {
            "get": asgi_requests_that_wait(_that_gets_async(client, keys), cookies, run),
            "bare": asgi_requests_that_wait(asgi_application, cookies, run),
            "seen": guarded(SECRET, cookies),
            "first sight": first_sight(browsers, guarded),
            "check": awaited(backend.find, [Credential(token.encode()) for token in browsers.tokens], run),
        },
        effort,
    )


def _that_gets(client: Client, keys: Sequence[str]) -> WSGIApplication:
    """An application that looks up a session by hand: it knows the key already."""
    turns = cycle(keys)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert client.get(next(turns))
        return wsgi_application(environ, start_response)

    return application


def _that_gets_async(client: Any, keys: Sequence[str]) -> ASGIApp:
    turns = cycle(keys)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        assert await client.get(next(turns))
        await asgi_application(scope, receive, send)

    return application


def _rows(door: str, rounds: Rounds) -> Iterator[Row]:
    get = added(rounds, "get", "bare")
    yield compared(f"{GUARDED}: {door}, cookie, seen before", added(rounds, "seen", "bare"), GET, get, 1.6)
    yield compared("the same, at the first sight of the cookie", added(rounds, "first sight", "bare"), GET, get, None)
    yield compared("the check of the backend alone", rounds["check"], GET, get, None)
