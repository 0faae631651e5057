"""How it is measured: everything that is compared runs in one process, in alternating rounds, and medians are told.

Machines differ by a factor of five in what they do in a microsecond, so a time is told beside the time of something that
people use. A figure is computed within each round and its median is taken over the rounds, so that a machine that is busy for
a while burdens both sides alike. The garbage collector runs as it does by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from time import perf_counter
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Timed: TypeAlias = Callable[[int], float]
"""Does its work so many times; the seconds that took."""

Rounds: TypeAlias = Mapping[str, Sequence[float]]
"""Seconds for one piece of work, by name and round."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. ``rounds``: of each side; ``seconds``: of one round of one side, about."""

    rounds: int
    seconds: float

    @classmethod
    def full(cls) -> Effort:
        return cls(81, 0.02)

    @classmethod
    def quick(cls) -> Effort:
        return cls(15, 0.005)

    def longer(self) -> Effort:
        """For work that waits for others: whom the scheduler puts on which core takes some milliseconds to settle."""
        return Effort(max(5, self.rounds // 5), self.seconds * 10)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. ``figures``: the ratio or what is added, one for each round; ``limit`` None: only stated."""

    measured: str
    ours: str
    beside: str
    figures: Sequence[float]
    show: Callable[[float], str]
    limit: float | None
    at_least: bool = False

    @property
    def figure(self) -> float:
        return median(self.figures)

    @property
    def reached(self) -> bool:
        return self.limit is None or (self.figure >= self.limit if self.at_least else self.figure <= self.limit)

    def cells(self) -> tuple[str, str, str, str, str]:
        show = self.show
        figure = f"{show(self.figure)} ({show(min(self.figures))} - {show(max(self.figures))})"
        if self.limit is None:
            return self.measured, self.ours, self.beside, figure, "stated"
        reach = f"{'>=' if self.at_least else '<='} {show(self.limit)}"
        return self.measured, self.ours, self.beside, figure, reach if self.reached else f"{reach}, **missed**"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could not be measured here, and why."""

    measured: str
    why: str


Result: TypeAlias = Row | LeftOut


def alternate(sides: Mapping[str, Timed], effort: Effort) -> Rounds:
    """Measure all sides in turn, round by round; every other round in the opposite order."""
    numbers = {name: _number(work, effort.seconds) for name, work in sides.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(effort.rounds):
        for name in sides if turn % 2 == 0 else reversed(list(sides)):
            seconds[name].append(sides[name](numbers[name]) / numbers[name])
    return seconds


def _number(work: Timed, seconds: float) -> int:
    """How often a piece of work fits into so many seconds, and into twice as many with what it needs and is not timed. Warms up."""
    work(1)
    number = 1
    while True:
        began = perf_counter()
        took = work(number)
        part = max(took / seconds, (perf_counter() - began) / (2 * seconds))
        if part >= 0.25:
            return max(1, int(number / part))
        number = max(number * 2, min(number * 20, int(number / part / 4)))


def trials(sides: Mapping[str, Callable[[], float]], rounds: int, each: int) -> Rounds:
    """For work that must be prepared anew each time: a side prepares, works, and answers the seconds of the work alone.

    All sides in turn, ``each`` times in a round; the figure of a round is the p50.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        found: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(each):
            for name in sides if turn % 2 == 0 else reversed(list(sides)):
                found[name].append(sides[name]())
        for name, figures in found.items():
            seconds[name].append(median(figures))
    return seconds


def p50(seconds: Sequence[float]) -> float:
    """For work that waits for others: the sum as it would be if each piece had taken as long as the middle one."""
    return median(seconds) * len(seconds)


def repeated(work: Callable[[T], object], each: Iterable[T]) -> Timed:
    """A sync piece of work that waits for others, for each of these in turn, timed."""
    turns = cycle(each)

    def timed(number: int) -> float:
        seconds: list[float] = []
        for item in islice(turns, number):
            began = perf_counter()
            work(item)
            seconds.append(perf_counter() - began)
        return p50(seconds)

    return timed


# --- figures ----------------------------------------------------------------------------------------------------------


def added(rounds: Rounds, ours: str, bare: str) -> list[float]:
    """What ours takes beyond the bare one, in seconds, round by round."""
    return [a - b for a, b in zip(rounds[ours], rounds[bare], strict=True)]


def ratios(ours: Sequence[float], beside: Sequence[float]) -> list[float]:
    """How many times as long ours takes, round by round."""
    return [a / b for a, b in zip(ours, beside, strict=True)]


def compared(measured: str, ours: Sequence[float], beside: str, other: Sequence[float], limit: float | None) -> Row:
    """Seconds beside the seconds of something that people use, round by round."""
    return Row(measured, typical(ours), f"{beside} {typical(other)}", ratios(ours, other), times, limit)


def rates(measured: str, ours: Sequence[float], beside: str, other: Sequence[float], limit: float | None) -> Row:
    """Requests a second beside those of something that people use, round by round."""
    told = f"{beside} {median(other):,.0f}/s"
    return Row(measured, f"{median(ours):,.0f}/s", told, ratios(ours, other), times, limit, at_least=True)


# --- in words ---------------------------------------------------------------------------------------------------------


def times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.{3 if abs(seconds) < 1e-6 else 2}f} us"


def duration(seconds: float) -> str:
    """In the unit that suits."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.{2 if seconds < 1e-4 else 0}f} us"
    return f"{seconds * 1e3:.2f} ms"


def typical(seconds: Sequence[float]) -> str:
    return duration(median(seconds))


def table(results: Sequence[Result]) -> Iterator[str]:
    """The lines of one table in Markdown, and what was left out below it."""
    rows = [("measured", "ours", "beside it", "ratio or added: median (min - max over rounds)", "reach")]
    rows += [result.cells() for result in results if isinstance(result, Row)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    missing = [result for result in results if isinstance(result, LeftOut)]
    if missing:
        yield ""
        yield from (f"Left out: {result.measured}: {result.why}" for result in missing)
