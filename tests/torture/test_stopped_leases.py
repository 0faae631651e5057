"""P1 with leases where something stands still: a worker before it uses an answer, a database that does not answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final
from unittest.mock import patch
from uuid import uuid4

import pytest

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import new_token
from sessionward.lease import Leases
from tests.torture.conftest import Databases
from tests.torture.crew import context
from tests.torture.doors import PATH, Answer, Call, Door, WSGIDoor
from tests.torture.failpoint import watched
from tests.torture.leases import Worker, with_lease
from tests.torture.locker import hold_the_lock
from tests.torture.naive_leases import VARIANTS
from tests.torture.places import Place, async_places, sync_place
from tests.torture.silence import SilentProxy
from tests.torture.stopped import checks_and_is_stopped, is_accepted
from tests.torture.tables import engine_of, stock

LEASE: Final = 0.5
TIMEOUT: Final = 0.4
"""Seconds of the doors whose database does not answer."""
PATIENT: Final = 30.0


@pytest.fixture
def url(databases: Databases, database: str) -> Iterator[str]:
    """Has the lease already, so that no check has to raise it; and has none afterwards."""
    place = sync_place(databases, database)
    with_lease(place, LEASE)
    yield place.url
    with_lease(place, 0.0)


def signed_in(url: str) -> tuple[str, str]:
    """The tokens of a user's two sessions: the one that revokes, and the other."""
    own, other = new_token(), new_token()
    engine = engine_of(url)
    try:
        stock(engine, {f"stopped {uuid4()}": [own, other]})
    finally:
        engine.dispose()
    return own, other


@contextmanager
def door_to(url: str, variant: str = "", *, timeout: float = PATIENT, lease: float = LEASE) -> Iterator[Door]:
    with patch("sessionward.modes.choose.Leases", VARIANTS.get(variant, Leases)):
        door = WSGIDoor(SQLBackend(url, timeout=timeout), timeout=timeout, lease=lease)
    try:
        yield door
    finally:
        door.close()


def has_revoked(answer: Answer, count: int) -> None:
    assert (answer.status, answer.body) == (200, f'{{"count": {count}}}')


def until(condition: Callable[[], bool]) -> None:
    ends = monotonic() + PATIENT
    while not condition():
        assert monotonic() < ends
        sleep(0.002)


# --- a worker ---------------------------------------------------------------------------------------------------------


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _accepted_after_a_stop(place: Place, url: str, *, is_asgi: bool, variant: str = "") -> bool:
    """Whether the worker accepts, after the 200, what it had read before it was stopped."""
    own, other = signed_in(url)
    here, there = context().Pipe()
    worker = Worker(place, is_asgi, LEASE, variant)
    process = context().Process(target=checks_and_is_stopped, args=(worker, other, there))
    process.start()
    try:
        assert process.pid is not None
        pid = process.pid
        assert here.poll(PATIENT)
        assert here.recv() == "stopped"
        until(lambda: _is_stopped(pid))
        with door_to(url) as door:
            has_revoked(door(Call("DELETE", PATH, token=own)), 1)
        os.kill(pid, signal.SIGCONT)
        assert here.poll(PATIENT)
        began_before, began_after = here.recv()
        assert began_before, "it had read that the session was live, and began before the revocation"
        return bool(began_after)
    finally:
        process.kill()
        process.join()
        process.close()


@pytest.mark.parametrize("is_asgi", [False, True], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_p1_a_worker_that_was_stopped_before_it_used_its_answer_accepts_nothing_after_the_200(
    databases: Databases, url: str, database: str, is_asgi: bool
) -> None:
    place = async_places(databases, database)[0] if is_asgi else sync_place(databases, database)
    assert not _accepted_after_a_stop(place, url, is_asgi=is_asgi)


@pytest.mark.parametrize("database", ["postgresql"])
def test_canary_an_age_that_is_counted_from_the_answer_is_caught(databases: Databases, url: str, database: str) -> None:
    assert _accepted_after_a_stop(sync_place(databases, database), url, is_asgi=False, variant="TrustsFromTheAnswer")


# --- a database -------------------------------------------------------------------------------------------------------


def _accepted_after_an_unknown_outcome(url: str, variant: str = "", *, lease: float = LEASE) -> bool:
    """The database falls silent between the commit and its answer, and the call is repeated. Another worker has read just before."""
    own, other = signed_in(url)
    with ExitStack() as stack:
        proxy = stack.enter_context(SilentProxy(url))
        revoking = stack.enter_context(door_to(proxy.url, variant, timeout=TIMEOUT, lease=lease))
        another = stack.enter_context(door_to(url, lease=lease))
        revoking(Call(token=own))  # connects
        another(Call(token=own))

        def before(statement: str) -> None:
            if statement == "COMMIT":
                assert is_accepted(another(Call(token=other)))
                proxy.fall_silent()

        with watched(before=before):
            answer = revoking(Call("DELETE", PATH, token=own))
        assert (answer.status, answer.error) == (503, "outcome_unknown")
        proxy.speak()
        has_revoked(revoking(Call("DELETE", PATH, token=own)), 0)
        return is_accepted(another(Call(token=other)))


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_p1_the_repeat_of_a_call_whose_outcome_was_unknown_is_answered_when_nobody_is_accepted(url: str) -> None:
    assert not _accepted_after_an_unknown_outcome(url)


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_canary_a_repeat_that_ended_nothing_and_does_not_wait_is_caught(url: str) -> None:
    long = 10 * LEASE  # longer than the call and its repeat take on a busy machine
    with_lease(Place("postgresql", "psycopg", url), long)
    assert _accepted_after_an_unknown_outcome(url, "WaitsOnlyIfSomethingEnded", lease=long)


def _accepted_without_a_database(url: str, variant: str = "") -> bool:
    """A worker has read, its database falls silent, and another worker revokes."""
    own, other = signed_in(url)
    with ExitStack() as stack:
        proxy = stack.enter_context(SilentProxy(url))
        silent = stack.enter_context(door_to(proxy.url, variant, timeout=TIMEOUT))
        revoking = stack.enter_context(door_to(url))
        assert is_accepted(silent(Call(token=other)))
        proxy.fall_silent()
        has_revoked(revoking(Call("DELETE", PATH, token=own)), 1)
        answer = silent(Call(token=other))
        if is_accepted(answer):
            return True
        assert (answer.status, answer.error) == (503, "backend_unavailable")
        proxy.speak()
        return is_accepted(silent(Call(token=other)))


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_p1_p7_a_worker_whose_database_is_silent_accepts_nothing_after_the_200(url: str) -> None:
    assert not _accepted_without_a_database(url)


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_canary_a_worker_that_goes_on_with_what_it_knew_is_caught(url: str) -> None:
    assert _accepted_without_a_database(url, "SwallowsOutages")


def _accepted_by_a_joined_question(url: str, variant: str = "") -> bool:
    """A question is answered before the revocation, and the answer arrives after the 200, when another check waits for it."""
    own, other = signed_in(url)
    made: list[Leases] = []

    class Seen(VARIANTS.get(variant, Leases)):  # type: ignore[misc]
        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, **more)
            made.append(self)

    with ExitStack() as stack:
        proxy = stack.enter_context(SilentProxy(url))
        with patch.dict(VARIANTS, {variant: Seen}):
            silent = stack.enter_context(door_to(proxy.url, variant))
        revoking = stack.enter_context(door_to(url))
        threads = stack.enter_context(ThreadPoolExecutor(2))
        silent.at_once([Call(token=own), Call(token=new_token())])  # connects twice
        proxy.fall_silent()
        first = threads.submit(silent, Call(token=other))
        until(lambda: proxy.held == 1)
        (question,) = made[0]._questions.values()
        has_revoked(revoking(Call("DELETE", PATH, token=own)), 1)
        second = threads.submit(silent, Call(token=other))
        until(lambda: proxy.held == 2 or bool(question._callbacks))
        proxy.speak()
        assert is_accepted(first.result(PATIENT)), "it began before the revocation"
        return is_accepted(second.result(PATIENT))


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_p1_a_check_after_the_200_joins_no_question_from_before(url: str) -> None:
    assert not _accepted_by_a_joined_question(url)


@pytest.mark.parametrize("database", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_canary_a_joined_question_of_any_age_is_caught(url: str) -> None:
    assert _accepted_by_a_joined_question(url, "JoinsAnyQuestion")


@pytest.mark.parametrize("variant", ["", "TimeToLive"], ids=["ours", "canary"])
@pytest.mark.parametrize("database", ["sqlite"])
@pytest.mark.usefixtures("database")
def test_p1_p7_a_stopped_process_that_holds_the_lock_of_an_sqlite_file_delays_the_revocation_and_changes_nothing(
    url: str, variant: str
) -> None:
    own, other = signed_in(url)
    here, there = context().Pipe()
    holder = context().Process(target=hold_the_lock, args=(url.removeprefix("sqlite:///"), there))
    with ExitStack() as stack:
        revoking = stack.enter_context(door_to(url, variant, timeout=TIMEOUT))
        another = stack.enter_context(door_to(url, variant))
        holder.start()
        stack.callback(holder.join, PATIENT)
        assert here.poll(PATIENT)
        assert here.recv() == "held"
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            answer = revoking(Call("DELETE", PATH, token=own))
            assert (answer.status, answer.error) == (503, "backend_unavailable")
            assert is_accepted(another(Call(token=other))), "a reader waits for no lock, and nothing has ended"
        finally:
            os.kill(holder.pid, signal.SIGCONT)
            here.send("let go")
            holder.join(PATIENT)
        assert is_accepted(another(Call(token=other)))
        has_revoked(revoking(Call("DELETE", PATH, token=own)), 1)
        assert is_accepted(another(Call(token=other))) is (variant == "TimeToLive")
