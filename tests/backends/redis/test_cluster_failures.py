"""P4, P6, P7 on a Redis Cluster whose nodes are killed, stand still and are failed over, and which loses answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import pytest

from sessionward import BackendUnavailable
from sessionward.credential.token import new_token
from sessionward.errors import OutcomeUnknown
from tests.support.faulty_proxy import FaultyProxy, Loss
from tests.support.load import under_load
from tests.support.redis_backends import lives, opened, signed_in
from tests.support.redis_cluster import Cluster, proxied
from tests.support.redis_servers import Node, one_redis, until
from tests.support.sessions import new_session

TIMEOUT: Final = 0.5
"""Seconds of a backend, one of whose nodes stands still."""
AT_MOST: Final = 5.0
"""Seconds that an answer may take then, on a machine that does much else."""
WAIT: Final = (1, 400)
"""Below ``TIMEOUT``."""
FAILOVERS: Final = 25

both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
losses = pytest.mark.parametrize("loss", Loss, ids=lambda loss: loss.value)


@both
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_replicas_confirmed_outlives_a_primary_that_fails_under_load(breakable_cluster: Cluster, how: str, is_async: bool) -> None:
    """Its replica has none of its own until the former primary is back: until then nothing there can be confirmed."""
    victim = breakable_cluster.primaries()[1]
    (replica,) = breakable_cluster.replicas_of(victim)
    with opened(breakable_cluster.url, is_async=is_async, timeout=TIMEOUT, wait=WAIT) as backend, under_load(backend) as tally:
        until(lambda: tally.rounds >= 5, "calls succeed")
        (victim.kill if how == "killed" else victim.stop)()
        breakable_cluster.until_serving(without=victim)
        assert replica.info("replication")["role"] == "master"
        (victim.start if how == "killed" else victim.go_on)()
        breakable_cluster.until_ready()
        before = tally.rounds
        until(lambda: tally.rounds >= before + 8, "calls succeed again")
    print(how, tally)
    assert not tally.wrong, tally
    assert tally.failed, "nothing failed: this showed nothing"
    assert tally.slowest < AT_MOST, tally


def told_and_failed_over(cluster: Cluster, *, wait: tuple[int, int] | None) -> tuple[int, int, int]:
    """Of so many failovers of the user's primary, right after a revocation, with its replica cut off or not: told, undone, unknown."""
    told = undone = unknown = 0
    with opened(cluster.url, timeout=5.0) as plain, opened(cluster.url, timeout=5.0, wait=wait) as backend:
        for number in range(FAILOVERS):
            own, other = signed_in(plain, f"ann {uuid4()}", 2)
            primary = cluster.serving(cluster.slot_of(plain._place.owner(own[1].user_id).key))
            (replica,) = cluster.replicas_of(primary)
            until(lambda a=replica, b=primary: _has_all(a, b), "the replica has the sessions")  # type: ignore[misc]
            is_cut = bool(number % 2)
            if is_cut:
                replica.cut_off_from(primary)
            try:
                was_told = backend.revoke_others(own[1]) == 1
            except OutcomeUnknown:
                was_told = False
                unknown += 1
            cluster.fail_over(primary, "TAKEOVER")
            if is_cut:
                replica.client.config_set("masterauth", "")
            cluster.until_ready()
            told += was_told
            undone += was_told and plain.find(other[0]) is not None
    return told, undone, unknown


def _has_all(replica: Node, primary: Node) -> bool:
    return bool(replica.info("replication")["slave_repl_offset"] >= primary.info("replication")["master_repl_offset"])


def test_p6_a_revocation_that_was_told_is_never_undone_by_a_failover_if_replicas_must_confirm(breakable_cluster: Cluster) -> None:
    told, undone, unknown = told_and_failed_over(breakable_cluster, wait=WAIT)
    print(f"{told} told, {undone} undone, {unknown} unknown")
    assert undone == 0
    assert told
    assert unknown


def test_canary_without_it_a_failover_undoes_what_was_told(breakable_cluster: Cluster) -> None:
    told, undone, unknown = told_and_failed_over(breakable_cluster, wait=None)
    print(f"{told} told, {undone} undone, {unknown} unknown")
    assert (told, unknown) == (FAILOVERS, 0)
    assert undone > FAILOVERS / 8


# --- answers that are lost ------------------------------------------------------------------------------------------------


@contextmanager
def losing_one(proxies: list[FaultyProxy], loss: Loss, *, after: int = 0) -> Iterator[None]:
    """One call of a script is lost, in the block, wherever it goes."""
    for proxy in proxies:
        proxy.lose(loss, b"EVALSHA", after=after)
    yield
    for proxy in proxies:
        proxy.lose_nothing()


@pytest.fixture(params=["one server", "a cluster"])
def lossy(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[str, list[FaultyProxy]]]:
    """A URL that leads through proxies, and these."""
    if request.param == "a cluster":
        with proxied(request.getfixturevalue("breakable_cluster")) as (url, proxies):
            yield url, list(proxies)
        return
    with one_redis(tmp_path) as node, FaultyProxy(node.port) as proxy:
        yield f"redis://127.0.0.1:{proxy.port}/0", [proxy]


@both
@losses
def test_p4_a_revocation_whose_answer_is_lost_is_an_unknown_outcome_happened_at_most_once_and_may_be_repeated(
    lossy: tuple[str, list[FaultyProxy]], loss: Loss, is_async: bool
) -> None:
    url, proxies = lossy
    changes: list[tuple[Callable[[Any, Any, Any], Any], int, bool]] = [
        (lambda backend, own, _other: backend.revoke_others(own[1]), 1, True),
        (lambda backend, own, _other: backend.revoke_all(own[1].user_id), 2, True),
        (lambda backend, own, other: backend.revoke(own[1].user_id, other[1].id), 1, False),
    ]
    with opened(url, is_async=is_async, timeout=TIMEOUT) as backend:
        for change, count, raises in changes:
            own, other = signed_in(backend, f"ann {uuid4()}", 2)
            change(backend, *signed_in(backend, f"bob {uuid4()}", 2))  # every connection is there, and the script
            began = monotonic()
            with losing_one(proxies, loss), pytest.raises(OutcomeUnknown) as failed:
                change(backend, own, other)
            assert monotonic() - began < AT_MOST
            assert own[1].user_id not in str(failed.value)
            happened = lives(backend, other) == [False]
            assert happened == (not loss.of_the_question) or len(proxies) > 1, "it ran, unless a node had not seen the script yet"
            assert backend.begin_login(own[1].user_id) == (happened and raises)
            assert int(change(backend, own, other)) == (0 if happened else count)
            assert lives(backend, other) == [False]


@both
@losses
def test_p4_a_sign_in_is_whole_or_not_there_whichever_of_its_answers_is_lost(
    lossy: tuple[str, list[FaultyProxy]], loss: Loss, is_async: bool
) -> None:
    url, proxies = lossy
    with opened(url, is_async=is_async, timeout=TIMEOUT) as backend:
        signed_in(backend, f"bob {uuid4()}", 1)
        outcomes: set[str] = set()
        for after in range(6):
            (before,) = signed_in(backend, f"ann {uuid4()}", 1)
            user = before[1].user_id
            outcome = "done"
            with losing_one(proxies, loss, after=after):
                try:
                    backend.login(new_session(user, new_token(), replaces=before[1]))
                except BackendUnavailable as failed:
                    outcome = "unknown" if isinstance(failed, OutcomeUnknown) else "unavailable"
            outcomes.add(outcome)
            assert len(backend.list(user)) == 1, "the old one or the new one, and never both or none"
            if outcome != "unknown":
                assert lives(backend, before) == [outcome == "unavailable"]
            (again,) = signed_in(backend, user, 1)
            assert lives(backend, again) == [True]
        assert {"unknown", "done"} <= outcomes


@both
@losses
def test_p7_a_check_whose_answer_is_lost_is_unavailable_and_the_next_one_is_right(
    lossy: tuple[str, list[FaultyProxy]], loss: Loss, is_async: bool
) -> None:
    url, proxies = lossy
    with opened(url, is_async=is_async, timeout=TIMEOUT) as backend:
        own, other = signed_in(backend, f"ann {uuid4()}", 2)
        backend.revoke(other[1].user_id, other[1].id)
        assert lives(backend, own, other) == [True, False]
        questions: list[Callable[[], Any]] = [
            lambda: backend.find(own[0]),
            lambda: backend.check(other[0]),
            lambda: backend.list(own[1].user_id),
            lambda: backend.begin_login(own[1].user_id),
            lambda: backend.find_many([own[0]]),
        ]
        for question in questions:
            with losing_one(proxies, loss), pytest.raises(BackendUnavailable) as failed:
                question()
            assert not isinstance(failed.value, OutcomeUnknown)
            assert lives(backend, own, other) == [True, False]
