"""Requests a second under uvicorn with sessions in Redis: behind our middleware, and as starsessions and crudauth guard the same page."""

from __future__ import annotations

import http.client
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import redis.asyncio
from starlette.requests import Request

from sessionward.backends import Credential
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.credential.token import new_token
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, compared, rates, ratios, times, trials, typical
from tests.benchmarks.requests import SECRET, Run, event_loop, scope_of, with_own_cookies
from tests.benchmarks.served import BARE, CONNECTIONS, ROOT, Arguments, Burst, bursts, in_turn, pinned
from tests.benchmarks.signing import COOKIE, Browsers, sign_in, signed
from tests.support.redis_servers import one_redis
from tests.support.servers import Server, served

NAME: Final = "under uvicorn (httptools) and wrk, sessions in Redis, requests a second"
CRUDAUTH: Final = "crudauth"
HINT: Final = "crudauth is not installed: pip install --no-deps crudauth"
SESSIONS: Final = 100
"""So many browsers ask in turn, each with a session of its own."""
OTHERS: Final = 10


def measure(effort: Effort) -> Iterator[Result]:
    rounds = 11 if effort.rounds >= Effort.full().rounds else 3
    with tempfile.TemporaryDirectory() as folder, one_redis(Path(folder)) as server:
        yield from _button(server.url, 3 if rounds == 3 else 15)
        if shutil.which("wrk") is None:
            yield LeftOut(NAME, "wrk is not installed")
            return
        yield from _served(server.url, Path(folder), rounds)


# --- the page ---------------------------------------------------------------------------------------------------------


def _served(url: str, here: Path, rounds: int) -> Iterator[Result]:
    others = ["starsessions", *([CRUDAUTH] if find_spec(CRUDAUTH) else [])]
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_serve(name, url, here)) for name in ("bare", "guarded", "leased", *others)}
        ours, leased = _cookies(url, SESSIONS), _cookies(url, 1_000, prefix="leased")
        sides: dict[str, tuple[Server, Arguments]] = {
            "bare": (servers["bare"], in_turn(here / "ours", ours)),
            "guarded": (servers["guarded"], in_turn(here / "ours", ours)),
            "leased, few": (servers["leased"], in_turn(here / "few", leased[:CONNECTIONS])),
            "leased, many": (servers["leased"], in_turn(here / "many", leased)),
            **{name: (servers[name], in_turn(here / name, _signed_in_by(servers[name].port))) for name in others},
        }
        found = bursts(sides, rounds)
    yield from _rows(found)
    if CRUDAUTH not in others:
        yield LeftOut(f"{NAME}, beside crudauth", HINT)


def _rows(found: Mapping[str, Sequence[Burst]]) -> Iterator[Row]:
    rate = {side: [made.rate for made in of_side] for side, of_side in found.items()}
    yield rates(f"{NAME}: a live cookie, lease=1, one session for each connection of wrk", rate["leased, few"], BARE, rate["bare"], 0.93)
    yield rates("the same, a thousand sessions in turn, each looked up once a second", rate["leased, many"], BARE, rate["bare"], None)
    yield rates("the same without a lease, each request asks Redis", rate["guarded"], BARE, rate["bare"], None)
    for other in ("starsessions", CRUDAUTH):
        if other in rate:
            yield rates(
                f"a live cookie without a lease, beside {other}", rate["guarded"], f"the same page behind {other}", rate[other], 1.0
            )
    work = {side: [made.work for made in of_side] for side, of_side in found.items()}
    if min(work["bare"]) > 0:
        yield compared("without a lease, the server's processor time for a request", work["guarded"], BARE, work["bare"], None)


def _serve(name: str, url: str, here: Path) -> AbstractContextManager[Server]:
    uvicorn = [*pinned(0), sys.executable, "-m", "uvicorn", "--factory", f"tests.benchmarks.redis_app:{name}", "--http", "httptools"]
    uvicorn += ["--no-access-log", "--log-level", "warning"]
    return served(lambda port: [*uvicorn, "--port", str(port)], log=here / f"{name}.log", cwd=ROOT, env={"BENCHMARK_REDIS": url})


def _cookies(url: str, number: int, **settings: Any) -> Sequence[str]:
    backend = RedisBackend(url, **settings)
    browsers = Browsers.signed_in(backend, number)
    backend.close()
    return [f"{COOKIE}={signed(token)}" for token in browsers.tokens]


def _signed_in_by(port: int) -> Sequence[str]:
    """The Cookie fields of browsers that have signed in at this server."""
    fields = []
    for number in range(SESSIONS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", f"/sign-in?user=user-{number}")
        response = connection.getresponse()
        assert response.status == 200
        fields.append("; ".join(field.partition(";")[0] for field in response.headers.get_all("Set-Cookie", [])))
        connection.close()
    return fields


# --- the button -------------------------------------------------------------------------------------------------------


def _button(url: str, rounds: int) -> Iterator[Result]:
    """Ten sessions, one of which revokes the others, without HTTP. starsessions cannot: it does not know whose a session is."""
    measured = f"revoke_others on Redis, asyncio, {OTHERS} live sessions, p50"
    if find_spec(CRUDAUTH) is None:
        yield LeftOut(f"{measured}, beside crudauth", HINT)
        return
    with event_loop() as run:
        backend, client = AsyncRedisBackend(url), redis.asyncio.Redis.from_url(url)
        sides = {"ours": _ours(backend, run), CRUDAUTH: _of_crudauth(client, run)}
        found = trials(sides, rounds, 20)
        run(client.aclose())
        run(backend.close())
    beside = f"`sessions.revoke_all(exclude=...)` of crudauth {typical(found[CRUDAUTH])}"
    yield Row(measured, typical(found["ours"]), beside, ratios(found["ours"], found[CRUDAUTH]), times, 1.0)


def _ours(backend: AsyncRedisBackend, run: Run) -> Callable[[], float]:
    users = count()

    async def trial() -> float:
        user, made = f"user of ours {next(users)}", [new_token() for _ in range(OTHERS)]
        for token in made:
            await backend.login(sign_in(user, token))
        session = await backend.find(Credential(made[-1].encode()))
        assert session is not None
        began = perf_counter()
        revoked = await backend.revoke_others(session)
        took = perf_counter() - began
        assert revoked == OTHERS - 1
        return took

    return lambda: float(run(trial()))


def _of_crudauth(client: Any, run: Run) -> Callable[[], float]:
    manager = import_module("crudauth.transports.session.manager").SessionManager(
        session_storage=_storage(client, "session:"), csrf_storage=_storage(client, "csrf:"), key_secret=SECRET, max_sessions_per_user=1_000
    )
    users = count()

    async def trial() -> float:
        user, request = next(users), Request(scope_of(with_own_cookies()))
        made = [(await manager.create_session(request, user))[0] for _ in range(OTHERS)]
        began = perf_counter()
        revoked = await manager.revoke_all(user, exclude=made[-1])
        took = perf_counter() - began
        assert revoked == OTHERS - 1
        return took

    return lambda: float(run(trial()))


def _storage(client: Any, prefix: str) -> Any:
    return import_module("crudauth.storage.backends.redis").RedisSessionStorage(prefix=prefix, client=client)
