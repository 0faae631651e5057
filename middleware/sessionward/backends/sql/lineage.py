"""Judges whether a PostgreSQL server continues what this worker has read and written, or has been rolled back.

The write-ahead log of a server has a system identifier and a timeline. A promoted standby and a restored backup begin a new timeline,
which branches off the one before at some position. What was committed behind that position is lost: revoked sessions live again.
Nothing is lost for this worker if the branch lies at or behind the last position that it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

KEPT_BRANCHES: Final = 7
"""How many branches a database remembers. A worker that has seen none of the last timelines cannot be judged by them."""


class Place(NamedTuple):
    """A position in the write-ahead log: the system identifier, the timeline, and the number of the byte."""

    system: int
    timeline: int
    position: int

    @property
    def log(self) -> tuple[int, int]:
        return self.system, self.timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What a database remembers of its server.

    ``branches``: for each earlier timeline the position at which the next one branched off. ``accepted``: when an operator accepted the
    server last, in microseconds since 1970 by the database's clock, or 0.
    """

    system: int
    timeline: int
    branches: Mapping[int, int] = field(default_factory=dict[int, int])
    accepted: int = 0

    @property
    def log(self) -> tuple[int, int]:
        return self.system, self.timeline

    @classmethod
    def read(cls, text: str) -> Self:
        """Returns what :meth:`written` has written. Raises ``ValueError`` for anything else."""
        log, accepted, *branches = text.split(" ")
        system, timeline = log.split("/")
        pairs = (branch.split(":") for branch in branches)
        return cls(
            system=int(system),
            timeline=int(timeline),
            branches={int(before): int(position, 16) for before, position in pairs},
            accepted=int(accepted),
        )

    def written(self) -> str:
        """Returns it as the column ``lineage`` holds it, in less than 255 characters."""
        branches = (f"{before}:{position:X}" for before, position in _last(self.branches).items())
        return " ".join([f"{self.system}/{self.timeline}", str(self.accepted), *branches])


class Server(NamedTuple):
    """What a server says of itself on a new connection.

    ``place``: how far its log is flushed. ``branched``: where its timeline branched off the one before, or None if it does not know:
    it knows if it was a standby that streamed, and was not restarted since its promotion. ``kept``: what the database remembers, or
    None. ``rolled_back``: whether a worker has found that commits are lost. ``is_readable``: False if the database remembers something
    that no worker has written.
    """

    place: Place
    branched: int | None
    kept: Lineage | None
    rolled_back: bool
    is_readable: bool = True


class Seen(NamedTuple):
    """What a worker remembers: the last place that it has seen, and the lineage that the database remembered then."""

    place: Place
    lineage: Lineage


class Continues(NamedTuple):
    """The server has all that this worker has seen. ``lineage``: what the database remembers, or must remember from now on."""

    lineage: Lineage


class Lost(NamedTuple):
    """The server lacks commits, or they may be missing. ``reason``: for the log. ``is_proved``: whether this worker has seen them."""

    reason: str
    is_proved: bool


def judge(server: Server, seen: Seen | None) -> Continues | Lost:
    """Returns whether the server continues what this worker has seen, or for a new worker what the database remembers."""
    verdict = _judge(server, seen)
    if server.rolled_back and not isinstance(verdict, Lost):
        return Lost("another worker has found that commits are missing", is_proved=True)
    return verdict


def _judge(server: Server, seen: Seen | None) -> Continues | Lost:
    place, kept = server.place, server.kept
    if not server.is_readable:
        return Lost("its table sessionward_state holds a lineage that cannot be read", is_proved=False)
    if seen is None:
        return _judge_by_the_database(place, kept)
    accepted = 0 if kept is None else kept.accepted
    if kept is not None and kept.log == place.log and accepted > seen.lineage.accepted:
        return Continues(kept)
    if accepted < seen.lineage.accepted:
        return Lost("its table sessionward_state is older than what this worker has read there", is_proved=True)
    return _judge_by_the_log(place, kept, seen) if place.log == seen.place.log else _judge_by_the_branch(server, seen)


def _judge_by_the_database(place: Place, kept: Lineage | None) -> Continues | Lost:
    if kept is None:
        return Continues(Lineage(system=place.system, timeline=place.timeline))
    if kept.log == place.log:
        return Continues(kept)
    return Lost(f"{_moved(kept.log, place)}, and this worker was not there to see what is missing", is_proved=False)


def _judge_by_the_log(place: Place, kept: Lineage | None, seen: Seen) -> Continues | Lost:
    """Judges a server that has the same name and timeline. Two servers can have them: copies of one disk."""
    if place.position < seen.place.position:
        reason = f"its log ends at {shown(place.position)}, and this worker has seen it at {shown(seen.place.position)}"
        return Lost(reason, is_proved=True)
    if kept is None:
        return Continues(seen.lineage)
    if kept.log != place.log or kept.branches != seen.lineage.branches:
        return Lost("its table sessionward_state comes from another server", is_proved=False)
    return Continues(kept)


def _judge_by_the_branch(server: Server, seen: Seen) -> Continues | Lost:
    place, kept = server.place, server.kept
    moved = _moved(seen.place.log, place)
    if place.system != seen.place.system:
        return Lost(f"{moved}: it is another server", is_proved=False)
    # What the database remembers is true of its server, which went on from there. Its last branch is that of the timeline before only
    # if the database remembers no other one: another server may have taken a number between.
    branches = {} if kept is None or kept.system != place.system else dict(kept.branches)
    if server.branched is not None and (kept is None or kept.log == (place.system, place.timeline - 1)):
        branches[place.timeline - 1] = server.branched
    branch = branches.get(seen.place.timeline) if seen.place.timeline < place.timeline else None
    if branch is None:
        return Lost(f"{moved}, and it is not known where that branched off", is_proved=False)
    if branch < seen.place.position:
        reason = f"{moved}, which branched off at {shown(branch)}; this worker has seen the log at {shown(seen.place.position)}"
        return Lost(reason, is_proved=True)
    # An operator may have accepted the timeline before, and this worker has not read that yet.
    accepted = seen.lineage.accepted if kept is None else max(kept.accepted, seen.lineage.accepted)
    return Continues(Lineage(system=place.system, timeline=place.timeline, branches=_last(branches), accepted=accepted))


def _last(branches: Mapping[int, int]) -> Mapping[int, int]:
    """Returns those that the database remembers. A worker that remembered more would take its own server for another one."""
    return dict(sorted(branches.items())[-KEPT_BRANCHES:])


def _moved(log: tuple[int, int], place: Place) -> str:
    system, timeline = log
    if system != place.system:
        return f"its system identifier is {place.system} and was {system}"
    return f"it is on timeline {place.timeline} and was on {timeline}"


def shown(position: int) -> str:
    """Returns a position as PostgreSQL shows it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def position_of(text: str) -> int:
    """Returns the number of a position that PostgreSQL has shown."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def timeline_of(file: str) -> int:
    """Returns the timeline of a file of the write-ahead log, by its name."""
    return int(file[:8], 16)
