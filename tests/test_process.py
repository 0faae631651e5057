"""What each process makes for itself: anew after every fork, also one that Python does not know of, and after gevent has patched."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from sessionward import process
from sessionward.process import PerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks by the C library")


def in_a_fork(check: Callable[[], bool]) -> bool:
    """Returns what a function returns in a new process. Python is not told of the fork, as under uWSGI."""
    child = ctypes.CDLL(None).fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(params=["a page that the kernel clears", "no such page"])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no such page":
        monkeypatch.setattr(process, "_is_same", bytearray(1))
    else:
        assert not isinstance(process._is_same, bytearray)


@pytest.mark.usefixtures("page")
def test_a_process_keeps_its_value_and_another_makes_its_own() -> None:
    first, second = PerProcess(object), PerProcess(object)
    own = [first(), second()]
    assert [first(), second()] == own
    assert in_a_fork(lambda: first() is not own[0] and second() is not own[1] and first() is first() and second() is second())
    assert [first(), second()] == own


@pytest.mark.usefixtures("page")
def test_a_process_of_a_process_makes_its_own_too() -> None:
    made = PerProcess(object)
    own = made()

    def again() -> bool:
        inherited = made()
        return inherited is not own and in_a_fork(lambda: made() not in (own, inherited)) and made() is inherited

    assert in_a_fork(again)


@pytest.mark.usefixtures("page")
def test_what_is_forgotten_is_made_anew() -> None:
    made = PerProcess(object)
    own = made()
    assert made.pop() is own
    assert made.pop() is None
    assert made() is not own


@pytest.mark.usefixtures("page")
def test_a_patched_lock_has_a_value_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made = PerProcess(object)
    own = made()
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Lock", object)
        assert made() is not own
    assert made() is own


def test_a_value_without_a_look_at_the_process_would_be_inherited() -> None:
    """The canary of the forks above."""
    made = PerProcess(object)
    own = made()
    assert in_a_fork(lambda: made._last is not None and made._last[2] is own)


def test_a_fork_that_python_knows_of_needs_no_kernel() -> None:
    """Something may pretend to be Linux and not clear the page."""
    program = """
import mmap, os
mmap.mmap = type("Page", (mmap.mmap,), {"madvise": lambda self, option: None})
from sessionward.process import PerProcess
made = PerProcess(object)
own = made()
child = os.fork()
if child == 0:
    os._exit(0 if made() is not own else 1)
assert os.waitpid(child, 0)[1] == 0
assert made() is own
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
