"""Flows on a real Redis, sync and async: what comes back, within which time, and what is known if nothing does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, thread_time
from typing import Any
from uuid import uuid4

import pytest
import redis
from redis.retry import Retry

from sessionward import BackendUnavailable
from sessionward.backends.redis.call import Call, Flow
from sessionward.backends.redis.connect import server_of
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.run import AsyncRunner, SyncRunner
from sessionward.errors import OutcomeUnknown
from sessionward.testing.bridge import Loop
from tests.backends.redis.runners import AT_MOST, BROKEN, COUNT, ECHO, READ, SHORT, TIMEOUT, asking, both, called
from tests.backends.scripts import run
from tests.support.faulty_proxy import FaultyProxy, Loss
from tests.support.redis_servers import Node, Watched

PATIENT = Wait(1, 5_000)
"""For answers that must come."""


@pytest.fixture
def key() -> bytes:
    return f"{uuid4()}".encode()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(redis.Redis.from_url(redis_url).connection_pool.connection_kwargs.get("port", 6379)) as proxy:
        yield proxy


def url_of(proxy: FaultyProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


# --- answers


@both
def test_replies_are_bytes_numbers_lists_and_nothing_else(redis_url: str, key: bytes, is_async: bool) -> None:
    with asking(redis_url, is_async=is_async) as ask:
        assert ask(called(ECHO, key, "é", 7)) == ["é".encode(), 2, None]
        assert ask(called(READ, key)) is None
        assert ask(called(COUNT, key)) == 1


@both
def test_a_flow_gets_each_reply_and_calls_at_once_get_theirs_in_order(redis_url: str, key: bytes, is_async: bool) -> None:
    def flow() -> Flow[Any]:
        first = yield Call(COUNT, key, writes=True)
        echoed = yield [Call(ECHO, b"%b%d" % (key, n), (n,)) for n in range(300)]
        last = yield Call(COUNT, key, writes=True)
        return first, [int(reply[0]) for reply in echoed], last

    with asking(redis_url, is_async=is_async) as ask:
        assert ask(flow()) == (1, list(range(300)), 2)


@both
def test_what_a_flow_raises_reaches_its_caller_and_the_connection_is_used_again(redis_url: str, key: bytes, is_async: bool) -> None:
    def flow() -> Flow[Any]:
        yield Call(COUNT, key, writes=True)
        raise LookupError("mine")

    with asking(redis_url, is_async=is_async, size=1) as ask:
        with pytest.raises(LookupError, match="mine"):
            ask(flow())
        assert ask(called(COUNT, key)) == 2


@both
def test_a_server_that_has_lost_its_scripts_gets_them_again(own_redis: Node, key: bytes, is_async: bool) -> None:
    def both_scripts() -> Flow[Any]:
        return (yield [Call(script, key, ("x",), writes=True) for script in (COUNT, ECHO, COUNT, ECHO)])

    with asking(own_redis.url, is_async=is_async) as ask:
        assert ask(called(COUNT, key)) == 1
        own_redis.client.script_flush()
        assert ask(called(COUNT, key)) == 2
        own_redis.client.script_flush()
        assert ask(both_scripts()) == [3, [b"x", 1, None], 4, [b"x", 1, None]]


@both
def test_many_callers_at_once_get_their_own_answers(redis_url: str, key: bytes, is_async: bool) -> None:
    with asking(redis_url, is_async=is_async, size=3) as ask, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, called(ECHO, key, n), 10.0) for n in range(400)]
        assert [int(one.result()[0]) for one in asked] == list(range(400))


@both
def test_a_scan_yields_the_key_of_each_user_and_no_other(redis_url: str, is_async: bool) -> None:
    place = Place(f"{uuid4()}*[a]?\\".encode())
    keys = {place.owner(f"user {n}").key for n in range(2_500)}
    others = [b"-" + place.owner("ann").key, place.owner("ann").key.replace(b"*", b"x"), place.pointer(b"p" * 16), place.overall]
    client = redis.Redis.from_url(redis_url)
    client.mset(dict.fromkeys([*keys, *others], b""))
    try:
        if is_async:
            asked, loop = AsyncRunner(server_of(redis_url, is_async=True), size=1), Loop()

            async def found() -> list[bytes]:
                keys = [each async for batch in asked.scan(place.users(), TIMEOUT) for each in batch]
                await asked.close()
                return keys

            assert set(loop.run(found())) == keys
            loop.close()
        else:
            runner = SyncRunner(server_of(redis_url, is_async=False), size=1)
            assert {each for batch in runner.scan(place.users(), TIMEOUT) for each in batch} == keys
            runner.close()
    finally:
        client.delete(*keys, *others)
        client.close()


# --- lost answers


@both
@pytest.mark.parametrize("loss", Loss, ids=lambda loss: loss.value)
def test_p4_a_lost_reply_is_an_unknown_outcome_and_the_script_ran_once(
    redis_url: str, proxy: FaultyProxy, key: bytes, loss: Loss, is_async: bool
) -> None:
    with asking(url_of(proxy), is_async=is_async) as ask:
        assert ask(called(COUNT, key)) == 1
        proxy.lose(loss, key)
        began = monotonic()
        with pytest.raises(OutcomeUnknown) as failed:
            ask(called(COUNT, key), SHORT)
        assert monotonic() - began < AT_MOST
        assert key.decode() not in str(failed.value)
        proxy.until_lost()
        ran = 1 + (not loss.of_the_question)
        assert ask(called(READ, key)) == b"%d" % ran
        assert ask(called(COUNT, key)) == ran + 1


@both
@pytest.mark.parametrize("loss", Loss, ids=lambda loss: loss.value)
def test_a_lost_reply_to_a_call_that_only_reads_is_no_answer(proxy: FaultyProxy, key: bytes, loss: Loss, is_async: bool) -> None:
    with asking(url_of(proxy), is_async=is_async) as ask:
        ask(called(READ, key))
        proxy.lose(loss, key)
        with pytest.raises(BackendUnavailable) as failed:
            ask(called(READ, key), SHORT)
        assert not isinstance(failed.value, OutcomeUnknown)


@both
def test_a_client_whose_retries_repeat_everything_lends_us_its_address_only(proxy: FaultyProxy, key: bytes, is_async: bool) -> None:
    """redis-py repeats ten times by default, and this client decodes what it gets."""
    kind: Any = redis.asyncio if is_async else redis
    client = kind.Redis(port=proxy.port, decode_responses=True, socket_timeout=60.0)
    assert isinstance(client.get_retry(), (Retry, redis.asyncio.retry.Retry))
    with asking(client, is_async=is_async) as ask:
        assert ask(called(ECHO, key, "x"))[0] == b"x"
        proxy.lose(Loss.ANSWER_BY_SILENCE, key)
        with pytest.raises(OutcomeUnknown):
            ask(called(COUNT, key), SHORT)
        assert ask(called(READ, key)) == b"1"


@both
def test_a_script_that_failed_half_way_is_an_unknown_outcome(redis_url: str, key: bytes, is_async: bool) -> None:
    with asking(redis_url, is_async=is_async) as ask:
        with pytest.raises(OutcomeUnknown, match="'broken' failed"):
            ask(called(BROKEN, key))
        assert ask(called(READ, key)) == b"1"


@both
def test_an_answer_that_came_too_late_is_nobody_elses(proxy: FaultyProxy, key: bytes, is_async: bool) -> None:
    with asking(url_of(proxy), is_async=is_async, size=1) as ask:
        ask(called(READ, key))
        proxy.fall_silent()
        with pytest.raises(BackendUnavailable):
            ask(called(ECHO, key, "late"), SHORT)
        proxy.speak()
        assert ask(called(ECHO, key, "mine"))[0] == b"mine"


@both
def test_connections_that_the_server_has_closed_are_noticed_before_they_are_used(own_redis: Node, key: bytes, is_async: bool) -> None:
    def together(ask: Any) -> None:
        with ThreadPoolExecutor(4) as threads:
            for one in [threads.submit(ask, called(COUNT, key)) for _ in range(8)]:
                one.result()

    with asking(own_redis.url, is_async=is_async) as ask:
        together(ask)
        own_redis.client.client_kill_filter(_type="normal", skipme=True)
        together(ask)
        own_redis.restart()
        together(ask)
        assert ask(called(READ, key)) == b"24"


# --- the deadline


@both
def test_a_server_that_stands_still_costs_no_more_than_the_deadline(own_redis: Node, key: bytes, is_async: bool) -> None:
    with asking(own_redis.url, is_async=is_async) as ask, asking(own_redis.url, is_async=is_async) as ask_anew:
        ask(called(COUNT, key))
        own_redis.stop()
        try:
            for asked, flow, kind in (
                (ask, called(COUNT, key), OutcomeUnknown),
                (ask, called(READ, key), BackendUnavailable),
                (ask_anew, called(COUNT, key), BackendUnavailable),
            ):
                began = monotonic()
                with pytest.raises(BackendUnavailable) as failed:
                    asked(flow, SHORT)
                assert type(failed.value) is kind
                assert SHORT <= monotonic() - began < AT_MOST
        finally:
            own_redis.go_on()
        ask(called(READ, key))


@both
def test_a_server_that_is_not_there_is_unavailable_at_once(own_redis: Node, key: bytes, is_async: bool) -> None:
    own_redis.kill()
    with asking(own_redis.url, is_async=is_async) as ask:
        began = monotonic()
        with pytest.raises(BackendUnavailable, match="no connection to Redis at ") as failed:
            ask(called(COUNT, key), 60.0)
        assert not isinstance(failed.value, OutcomeUnknown)
        assert monotonic() - began < AT_MOST
    own_redis.start()


@both
def test_callers_without_a_connection_wait_no_longer_than_their_deadline(proxy: FaultyProxy, key: bytes, is_async: bool) -> None:
    with asking(url_of(proxy), is_async=is_async, size=1) as ask, ThreadPoolExecutor(1) as threads:
        ask(called(READ, key))
        proxy.fall_silent()
        first = threads.submit(ask, called(READ, key), AT_MOST)
        began = monotonic()
        while True:  # the other may not have taken the connection yet
            try:
                with pytest.raises(BackendUnavailable, match="raise pool_size"):
                    ask(called(COUNT, key), 0.05)
                break
            except AssertionError:
                assert monotonic() - began < AT_MOST
        proxy.speak()
        first.result()


def test_a_caller_that_waits_does_no_work(proxy: FaultyProxy, key: bytes) -> None:
    with asking(url_of(proxy), is_async=False) as ask:
        ask(called(READ, key))
        proxy.fall_silent()
        began = thread_time()
        with pytest.raises(BackendUnavailable):
            ask(called(READ, key), SHORT)
        assert thread_time() - began < SHORT / 3


# --- async callers


def test_a_call_that_is_cancelled_shifts_no_later_answer(proxy: FaultyProxy, key: bytes) -> None:
    async def main() -> None:
        runner = AsyncRunner(server_of(url_of(proxy), is_async=True), size=1)
        await runner.ask(called(READ, key), TIMEOUT)
        proxy.fall_silent()
        asked = asyncio.ensure_future(runner.ask(called(ECHO, key, "cancelled"), AT_MOST))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        proxy.speak()
        assert (await runner.ask(called(ECHO, key, "mine"), AT_MOST))[0] == b"mine"
        await runner.close()

    asyncio.run(main())


def test_what_has_begun_to_write_goes_on_to_its_end_when_its_caller_is_cancelled(proxy: FaultyProxy, key: bytes) -> None:
    ended = asyncio.Event()

    def flow() -> Flow[None]:
        yield Call(READ, key)
        for _ in range(3):
            yield Call(COUNT, key, writes=True)
        ended.set()

    async def main() -> None:
        runner = AsyncRunner(server_of(url_of(proxy), is_async=True), size=1)
        await runner.ask(called(COUNT, key), TIMEOUT)
        proxy.lose(Loss.ANSWER_BY_SILENCE, b"never")
        asked = asyncio.ensure_future(runner.ask(flow(), AT_MOST))
        while not asked.done() and not runner._running:
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await ended.wait()
        assert await runner.ask(called(READ, key), TIMEOUT) == b"4"
        await runner.close()

    asyncio.run(main())


def test_each_loop_has_connections_of_its_own_which_end_with_it(own_redis: Node, key: bytes) -> None:
    runner = AsyncRunner(server_of(own_redis.url, is_async=True), size=2)

    async def main() -> int:
        counted: int = await runner.ask(called(COUNT, key), TIMEOUT)
        return counted

    before = own_redis.info("clients")["connected_clients"]
    assert [asyncio.run(main()) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert own_redis.info("clients")["connected_clients"] == before


@both
def test_close_is_not_final(redis_url: str, key: bytes, is_async: bool) -> None:
    async def main() -> int:
        awaited = AsyncRunner(server_of(redis_url, is_async=True), size=1)
        await awaited.ask(called(COUNT, key), TIMEOUT)
        await awaited.close()
        await awaited.close()
        counted: int = await awaited.ask(called(COUNT, key), TIMEOUT)
        await awaited.close()
        return counted

    if is_async:
        assert asyncio.run(main()) == 2
        return
    runner = SyncRunner(server_of(redis_url, is_async=False), size=1)
    runner.ask(called(COUNT, key), TIMEOUT)
    runner.close()
    runner.close()
    assert runner.ask(called(COUNT, key), TIMEOUT) == 2
    runner.close()


# --- processes

FORKED = """
logging.getLogger("sessionward").setLevel(logging.ERROR)  # the settings of this server are none of ours
from sessionward.backends.redis.connect import server_of
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.run import AsyncRunner, SyncRunner
from tests.backends.redis.runners import ECHO, called

async def many(runner):
    for number in range(300):
        assert await runner.ask(called(ECHO, b"k", number), 10.0) == [str(number).encode(), 1, None]

def many_sync(runner):
    for number in range(300):
        assert runner.ask(called(ECHO, b"k", number), 10.0) == [str(number).encode(), 1, None]
"""

SYNC_FORKED = """
runner = SyncRunner(server_of(url, is_async=False), size=1)
many_sync(runner)
child = os.fork()
many_sync(runner)
if child == 0:
    runner.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
many_sync(runner)
runner.close()
print("done")
"""

ASYNC_FORKED = """
runner = AsyncRunner(server_of(url, is_async=True), size=1)

async def main():
    await many(runner)
    child = os.fork()  # in the midst of a loop, which the child then has too
    if child == 0:
        asyncio.events._set_running_loop(None)
        asyncio.run(many(runner))
        os._exit(0)
    await many(runner)
    assert os.waitpid(child, 0)[1] == 0
    await many(runner)

asyncio.run(main())
print("done")
"""


@pytest.mark.parametrize("program", [SYNC_FORKED, ASYNC_FORKED], ids=["sync", "async"])
def test_a_forked_child_has_connections_of_its_own(redis_url: str, program: str) -> None:
    assert run(FORKED + program, redis_url) == "done\n"


# --- replicas


@both
def test_an_answer_that_must_last_is_given_when_the_replicas_have_it(redis_pair: tuple[Node, Node], key: bytes, is_async: bool) -> None:
    primary, replica = redis_pair
    with asking(primary.url, is_async=is_async, wait=PATIENT) as ask:
        for number in range(1, 20):
            assert ask(called(COUNT, key), 10.0) == number
            assert replica.client.get(key) == b"%d" % number


@both
def test_an_answer_that_must_last_and_has_too_few_replicas_is_unknown(redis_pair: tuple[Node, Node], key: bytes, is_async: bool) -> None:
    primary, replica = redis_pair
    with asking(primary.url, is_async=is_async, wait=PATIENT) as ask, asking(primary.url, is_async=is_async, wait=Wait(1, 100)) as hasty:
        ask(called(COUNT, key), 10.0)
        replica.cut_off_from(primary)
        with pytest.raises(OutcomeUnknown, match="0 of 1 replicas"):
            hasty(called(COUNT, key), 10.0)
        assert ask(called(READ, key)) == b"2", "reads wait for nobody"
        replica.join_again()
        assert ask(called(COUNT, key), 10.0) == 3


@both
def test_behind_sentinels_calls_go_to_the_primary_of_the_moment(watched_redis: Watched, key: bytes, is_async: bool) -> None:
    with asking(watched_redis.url, is_async=is_async) as ask:
        assert ask(called(COUNT, key)) == 1
        old, new = watched_redis.primary(), watched_redis.replica()
        old.kill()
        watched_redis.until_primary_is(new)
        before = int(new.client.get(key) or 0)
        assert ask(called(COUNT, key), 10.0) == before + 1
        assert int(new.client.get(key)) == before + 1
        old.start()


GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent, logging, sys
from time import monotonic
logging.getLogger("sessionward").setLevel(logging.ERROR)
from sessionward.backends.redis.connect import server_of
from sessionward.backends.redis.layout import Place
from sessionward.backends.redis.run import SyncRunner
from sessionward.errors import OutcomeUnknown
from tests.backends.redis.runners import COUNT, ECHO, SHORT, called
from tests.support.faulty_proxy import FaultyProxy

port = int(sys.argv[1])
runner = SyncRunner(server_of(f"redis://127.0.0.1:{port}/0", is_async=False), size=2)
asked = [gevent.spawn(runner.ask, called(ECHO, b"k", number), 10.0) for number in range(100)]
gevent.joinall(asked)
assert [int(one.value[0]) for one in asked] == list(range(100))
with FaultyProxy(port) as proxy:
    slow = SyncRunner(server_of(f"redis://127.0.0.1:{proxy.port}/0", is_async=False), size=2)
    slow.ask(called(ECHO, b"k"), 10.0)
    proxy.fall_silent()
    waiting = [gevent.spawn(slow.ask, called(COUNT, sys.argv[2].encode()), SHORT) for _ in range(2)]
    began = monotonic()
    gevent.joinall([gevent.spawn(runner.ask, called(ECHO, b"k"), 10.0)], raise_error=True)  # others go on meanwhile
    assert not all(one.ready() for one in waiting)
    gevent.joinall(waiting)
    assert {type(one.exception) for one in waiting} <= {OutcomeUnknown, OutcomeUnknown.__base__}, [one.exception for one in waiting]
    assert any(type(one.exception) is OutcomeUnknown for one in waiting)
    slow.close()
runner.close()
print("done")
"""


def test_greenlets_share_a_runner_and_have_their_deadlines(redis_url: str, key: bytes) -> None:
    address = redis.Redis.from_url(redis_url).connection_pool.connection_kwargs
    command = [sys.executable, "-c", GEVENT, str(address.get("port", 6379)), key.decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
