"""No permit is lost, whatever interrupts a caller that waits for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessionward.backends.permits import Permits


class Killed(BaseException):
    """What gevent raises in a greenlet that waits, and Python in a thread that gets a signal."""


class Gate:
    """A lock at which the wait is interrupted. ``before``: what another caller does at this moment."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def acquire(self, timeout: float = -1) -> bool:
        if timeout == -1:
            return True
        type(self).before()
        raise Killed

    def release(self) -> None: ...


@pytest.mark.parametrize("is_handed_over", [False, True], ids=["while it waits", "as it is handed the permit"])
def test_a_caller_that_is_interrupted_loses_no_permit(is_handed_over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Permits(1)
    assert one.take(0)

    class Interrupted(Gate):
        before = staticmethod(one.give if is_handed_over else lambda: None)

    with monkeypatch.context() as patch:
        patch.setattr("threading.Lock", Interrupted)
        with pytest.raises(Killed):
            one.take(10)
    if not is_handed_over:
        one.give()
    assert one.take(0), "the permit is free again"
    assert not one.take(0), "and there is one only"


def test_those_who_wait_get_it_in_turn() -> None:
    one = Permits(1)
    assert one.take(0)
    order: list[int] = []
    began = threading.Semaphore(0)

    def wait(number: int) -> None:
        began.release()
        assert one.take(60)
        order.append(number)
        one.give()

    with ThreadPoolExecutor(3) as threads:
        for number in range(3):
            threads.submit(wait, number)
            began.acquire()
            while len(one._waiting) <= number:
                pass
        one.give()
    assert order == [0, 1, 2]
