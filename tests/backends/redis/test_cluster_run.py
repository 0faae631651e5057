"""A call to a Redis Cluster runs once or not at all, and says which: while slots move, nodes fail, and answers are lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Event
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import pytest

from sessionward import BackendUnavailable
from sessionward.backends.redis.call import Call, Flow, Script
from sessionward.backends.redis.connect import server_of
from sessionward.backends.redis.run import AsyncRunner, SyncRunner
from sessionward.errors import OutcomeUnknown
from sessionward.testing.bridge import Loop
from tests.support.faulty_proxy import Loss
from tests.support.redis_cluster import Cluster, proxied
from tests.support.redis_servers import until

COUNT: Final = Script("count", "#!lua flags=allow-oom\nreturn redis.call('INCR', KEYS[1])")
READ: Final = Script("read", "#!lua flags=allow-oom\nreturn redis.call('GET', KEYS[1])")
TIMEOUT: Final = 1.0
"""Seconds of a call."""
AT_MOST: Final = 5.0
"""Seconds that a call may take on a machine that does much else. Without a deadline it would take far more."""
CALLERS: Final = 4
KEYS: Final = 60

Ask = Callable[[Flow[Any]], Any]


def called(script: Script, key: bytes) -> Flow[Any]:
    return (yield Call(script, key, writes=script is COUNT))


def counted(keys: list[bytes]) -> Flow[Any]:
    return (yield [Call(COUNT, key, writes=True) for key in keys])


@contextmanager
def asking(url: str, *, is_async: bool) -> Iterator[Ask]:
    if not is_async:
        runner = SyncRunner(server_of(url, is_async=False), size=2 * CALLERS)
        try:
            yield lambda flow: runner.ask(flow, TIMEOUT)
        finally:
            runner.close()
        return
    loop, awaited = Loop(), AsyncRunner(server_of(url, is_async=True), size=2 * CALLERS)
    try:
        yield lambda flow: loop.run(awaited.ask(flow, TIMEOUT))
    finally:
        loop.run(awaited.close())
        loop.run(asyncio.sleep(0))
        loop.close()


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


class Counting:
    """Callers that count in keys of their own, each in every slot range: what was said to have been counted, and what may have been."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.prefix = uuid4().hex
        self.said: Counter[bytes] = Counter()
        self.unknown: Counter[bytes] = Counter()
        self.unavailable = 0
        self.reasons: set[str] = set()
        self.wrong: list[str] = []
        self.slowest = 0.0

    @contextmanager
    def under_way(self) -> Iterator[None]:
        over = Event()
        with ThreadPoolExecutor(CALLERS) as threads:
            running = [threads.submit(self._count, number, over) for number in range(CALLERS)]
            try:
                yield
            finally:
                over.set()
            for one in running:
                one.result(60)

    def _count(self, caller: int, over: Event) -> None:
        for number in count():
            if over.is_set():
                return
            key = f"{self.prefix}:{{{caller} {number % KEYS}}}".encode()
            began = monotonic()
            try:
                reply = self._ask(called(COUNT, key))
            except OutcomeUnknown as failure:
                self.unknown[key] += 1
                self.reasons.add(str(failure))
            except BackendUnavailable as failure:
                self.unavailable += 1
                self.reasons.add(str(failure))
            else:
                self.said[key] += 1
                if not self.said[key] <= reply <= self.said[key] + self.unknown[key]:
                    self.wrong.append(f"{key!r}: {reply}, {self.said[key]} said, {self.unknown[key]} unknown")
            self.slowest = max(self.slowest, monotonic() - began)

    def __str__(self) -> str:
        failed = f"{self.unavailable} unavailable, {self.unknown.total()} unknown"
        return f"{self.said.total()} counted, {failed}, the slowest {self.slowest:.2f} s, {self.wrong[:3]}, {sorted(self.reasons)[:5]}"


@both
def test_every_call_runs_once_while_slots_move(shared_cluster: Cluster, is_async: bool) -> None:
    with asking(shared_cluster.url, is_async=is_async) as ask:
        counting = Counting(ask)
        with counting.under_way():
            for source in (0, 1):
                first = min(part.start for part in shared_cluster.primaries()[source].slots())
                target = shared_cluster.primaries()[2]
                home = shared_cluster.serving(first)
                shared_cluster.reshard(range(first, first + 400), target)
                shared_cluster.reshard(range(first, first + 400), home)
            before = counting.said.total()
            until(lambda: counting.said.total() > before + KEYS, "calls succeed")
    print(counting)
    shared_cluster.until_ready()
    assert not counting.wrong, counting
    assert not counting.unavailable + counting.unknown.total(), counting


@both
def test_every_call_runs_once_while_a_replica_takes_over_as_agreed(shared_cluster: Cluster, is_async: bool) -> None:
    with asking(shared_cluster.url, is_async=is_async) as ask:
        counting = Counting(ask)
        with counting.under_way():
            for primary in shared_cluster.primaries():
                shared_cluster.fail_over(primary)
                shared_cluster.until_ready()
            before = counting.said.total()
            until(lambda: counting.said.total() > before + KEYS, "calls succeed")
    print(counting)
    assert not counting.wrong, counting


@both
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_node_that_fails_costs_failures_that_say_what_is_known(breakable_cluster: Cluster, is_async: bool, how: str) -> None:
    """A cluster alone loses what its replica has not heard of: so only that no call runs twice is asserted of it."""
    victim = breakable_cluster.primaries()[1]
    with asking(breakable_cluster.url, is_async=is_async) as ask:
        counting = Counting(ask)
        with counting.under_way():
            until(lambda: counting.said.total() > KEYS, "calls succeed")
            (victim.kill if how == "killed" else victim.stop)()
            breakable_cluster.until_serving(without=victim)
            before = counting.said.total()
            until(lambda: counting.said.total() > before + 4 * KEYS, "calls succeed again")
        if how == "killed":
            victim.start()
        else:
            victim.go_on()
        breakable_cluster.until_ready()
    print(counting)
    assert counting.unavailable + counting.unknown.total(), "nothing failed: this showed nothing"
    assert not [wrong for wrong in counting.wrong if _is_more(wrong)], counting
    assert counting.slowest < AT_MOST, counting


def _is_more(wrong: str) -> bool:
    """Whether the key holds more than was asked for, and not less."""
    words = wrong.rpartition("': ")[2].replace(",", "").split()
    return int(words[0]) > int(words[1]) + int(words[3])


@both
@pytest.mark.parametrize("loss", Loss, ids=lambda loss: loss.value)
def test_p4_a_lost_reply_is_an_unknown_outcome_and_the_script_ran_once(breakable_cluster: Cluster, loss: Loss, is_async: bool) -> None:
    with proxied(breakable_cluster) as (url, proxies), asking(url, is_async=is_async) as ask:
        key = f"{uuid4()}".encode()
        assert ask(called(COUNT, key)) == 1
        ran = 1
        for proxy in proxies:
            proxy.lose(loss, key)
        began = monotonic()
        with pytest.raises(OutcomeUnknown) as failed:
            ask(called(COUNT, key))
        assert monotonic() - began < AT_MOST
        assert key.decode() not in str(failed.value)
        assert [proxy.lose_nothing() for proxy in proxies].count(True) == 1
        ran += not loss.of_the_question
        assert ask(called(READ, key)) == b"%d" % ran
        assert ask(called(COUNT, key)) == ran + 1


@both
@pytest.mark.parametrize("loss", Loss, ids=lambda loss: loss.value)
def test_a_lost_reply_to_what_writes_nothing_is_no_unknown_outcome(breakable_cluster: Cluster, loss: Loss, is_async: bool) -> None:
    with proxied(breakable_cluster) as (url, proxies), asking(url, is_async=is_async) as ask:
        key = f"{uuid4()}".encode()
        assert ask(called(COUNT, key)) == 1
        for proxy in proxies:
            proxy.lose(loss, key)
        with pytest.raises(BackendUnavailable) as failed:
            ask(called(READ, key))
        assert not isinstance(failed.value, OutcomeUnknown)
        assert ask(called(READ, key)) == b"1"


@both
def test_calls_that_go_out_at_once_each_run_once_wherever_their_slots_are(shared_cluster: Cluster, is_async: bool) -> None:
    with asking(shared_cluster.url, is_async=is_async) as ask:
        keys = [f"{uuid4()} {number}".encode() for number in range(200)]
        assert ask(counted(keys)) == [1] * 200
        for node in shared_cluster.primaries():
            node.client.script_flush()
        assert ask(counted(keys)) == [2] * 200
