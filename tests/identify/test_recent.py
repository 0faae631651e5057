"""What was read a moment ago is not read again; what could not be read is."""

from __future__ import annotations

from time import time

import pytest

from sessionward.credential import recent
from sessionward.errors import InvalidCredential
from sessionward.identify.recent import RecentAnswers
from sessionward.session.identifier import Identity


class Reader:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, name: str, value: str) -> Identity | None:
        self.asked.append((name, value))
        if value == "forged":
            raise InvalidCredential("forged")
        return None if value == "nobody" else Identity(user_id=value)


def test_an_answer_is_given_again_and_belongs_to_its_name_and_value() -> None:
    recently, read = RecentAnswers(), Reader()
    for _ in range(2):
        assert recently(read, "session", "ann") == Identity(user_id="ann")
        assert recently(read, "session", "nobody") is None
        assert recently(read, "remember", "ann") == Identity(user_id="ann")
    assert read.asked == [("session", "ann"), ("session", "nobody"), ("remember", "ann")]


def test_what_could_not_be_read_is_read_again() -> None:
    recently, read = RecentAnswers(), Reader()
    for _ in range(2):
        with pytest.raises(InvalidCredential):
            recently(read, "session", "forged")
    assert len(read.asked) == 2


@pytest.mark.parametrize("passes", [recent.MOMENT, -1.0, 86_400.0], ids=["a moment", "the clock is set back", "a day"])
def test_after_a_moment_everything_is_read_anew(monkeypatch: pytest.MonkeyPatch, passes: float) -> None:
    now = 1000.0
    monkeypatch.setattr("sessionward.identify.recent.time", lambda: now)
    recently, read = RecentAnswers(), Reader()
    recently(read, "session", "ann")
    now += passes
    recently(read, "session", "ann")
    assert len(read.asked) == 2


def test_it_stays_bounded_and_keeps_no_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "SIZE", 10)
    recently, read = RecentAnswers(), Reader()
    for number in range(25):
        recently(read, "session", f"user{number}")
        assert len(recently._recent.values(time())) <= 10
    assert all(isinstance(key, bytes) and len(key) == 32 for key in recently._recent.values(time()))
