"""Histories of sign-ins, checks and ends, and whether some order of their moments explains all answers (P10).

A history is what several callers asked at once and were answered, each with the times between which it happened. It
is linearizable if every question can be given one moment between its times so that the sequential model below gives
the same answers: Wing and Gong's search, which remembers what it has tried.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Final, Protocol, TypeAlias
from uuid import UUID

from sessionward import Session, SessionRevoked, StaleLogin
from sessionward.backends import RevokedCount
from sessionward.credential.token import new_token

CALLERS: Final = 4
CALLS: Final = 4

STALE: Final = "StaleLogin"
GONE: Final = "SessionRevoked"

EVER: Final = 1e9
"""Seconds. A request that is so old began before all others, and one of minus so many after them: no clock decides."""

Answer: TypeAlias = int | bool | str | tuple[int, int] | frozenset[str] | None


class Asked(Protocol):
    """What a caller asks: a backend, made sync."""

    def find(self, token: str, /) -> Session | None: ...

    def login(self, user: str, token: str, /, *, generation: int | None, age: Callable[[], float], replaces: Session | None) -> Session: ...

    def begin_login(self, user: str, /) -> int: ...

    def revoke(self, session: Session, /) -> bool: ...

    def revoke_others(self, session: Session, /) -> RevokedCount: ...

    def revoke_all(self, user: str, /) -> RevokedCount: ...

    def list(self, user: str, /) -> Sequence[Session]: ...


# --- what is to be asked ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """``name`` is a session's name in its history. ``how``, for a login: fresh, old, ticket, or the session it replaces."""

    kind: str
    name: str = ""
    user: str = ""
    how: str = ""


@dataclass(slots=True)
class Plan:
    """One history to come. ``known``: sessions that are there at the start, filled in when they have been made."""

    tokens: dict[str, str]
    owner: dict[str, str]
    calls: list[list[Call]]
    known: dict[str, Session] = field(default_factory=dict)


def plan(prefix: str) -> Plan:
    """Four callers, four calls each, mostly on one user; a second user lends sessions that are replaced."""
    first, second = f"{prefix} a", f"{prefix} b"
    owner = dict.fromkeys(("a0", "a1", "a2"), first) | {"b0": second}
    calls: list[list[Call]] = []
    for caller in range(CALLERS):
        own: list[Call] = []
        for number in range(CALLS):
            kind = random.choices(*_KINDS)[0]
            if kind == "login":
                name, user = f"n{caller}{number}", random.choice([first, first, first, second])
                how = random.choice(["fresh", "old", "ticket", "ticket", *random.sample(sorted(owner), 2)])
                own.append(Call(kind, name, user, how))
                owner[name] = user
            elif kind in ("all", "list"):
                own.append(Call(kind, user=first))
            else:
                own.append(Call(kind, random.choice(sorted(owner))))
        calls.append(own)
    return Plan({name: new_token() for name in owner}, owner, calls)


_KINDS: Final = (["check", "login", "logout", "others", "all", "list"], [5, 6, 3, 7, 1, 2])


# --- asking -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Event:
    """One question and its answer, between two readings of the machine's monotonic clock."""

    kind: str
    name: str
    user: str
    answer: Answer = None
    ticket: int | None = None
    replaces: str | None = None
    old: bool = False
    id: UUID | None = None
    ids: frozenset[UUID] = frozenset()
    start: int = 0
    end: int = 0


def ask(asked: Asked, plan: Plan, calls: Sequence[Call]) -> list[Event]:
    """Carry out one caller's part."""
    part = _Part(asked, plan)
    for call in calls:
        getattr(part, call.kind)(call)
    return part.events


class _Part:
    def __init__(self, asked: Asked, plan: Plan) -> None:
        self._asked = asked
        self._plan = plan
        self.events: list[Event] = []

    def check(self, call: Call) -> None:
        self._find(call.name)

    def logout(self, call: Call) -> None:
        session = self._session(call.name)
        if session is not None:
            self._timed(Event("revoke", call.name, session.user_id), lambda: self._asked.revoke(session))

    def others(self, call: Call) -> None:
        session = self._session(call.name)
        if session is not None:
            self._timed(Event("others", call.name, session.user_id), lambda: _counted(self._asked.revoke_others(session)))

    def all(self, call: Call) -> None:
        self._timed(Event("all", "", call.user), lambda: _counted(self._asked.revoke_all(call.user)))

    def list(self, call: Call) -> None:
        event = Event("list", "", call.user)

        def question() -> Answer:
            event.ids = frozenset(session.id for session in self._asked.list(call.user))
            return None

        self._timed(event, question)

    def login(self, call: Call) -> None:
        event = Event("login", call.name, call.user, old=call.how == "old")
        replaces: Session | None = None
        if call.how == "ticket":
            begun = Event("begin", "", call.user)
            self._timed(begun, lambda: self._asked.begin_login(call.user))
            assert isinstance(begun.answer, int)
            event.ticket = begun.answer
        elif call.how not in ("fresh", "old"):
            replaces = self._session(call.how)
            event.replaces = call.how if replaces else None

        def question() -> Answer:
            age = EVER if event.old else -EVER
            token = self._plan.tokens[call.name]
            session = self._asked.login(call.user, token, generation=event.ticket, age=lambda: age, replaces=replaces)
            event.id = session.id
            return session.generation

        self._timed(event, question)

    def _session(self, name: str) -> Session | None:
        """Looked up just now, as a request does, or long ago."""
        known = self._plan.known.get(name)
        return known if known is not None and random.random() < 0.5 else self._find(name)

    def _find(self, name: str) -> Session | None:
        found: Session | None = None

        def question() -> Answer:
            nonlocal found
            found = self._asked.find(self._plan.tokens[name])
            return None if found is None else found.generation

        self._timed(Event("find", name, self._plan.owner[name]), question)
        return found

    def _timed(self, event: Event, question: Callable[[], Answer]) -> None:
        event.start = monotonic_ns()
        try:
            event.answer = question()
        except StaleLogin:
            event.answer = STALE
        except SessionRevoked:
            event.answer = GONE
        event.end = monotonic_ns()
        self.events.append(event)


def _counted(count: RevokedCount) -> tuple[int, int]:
    return int(count), count.generation


# --- the sequential model ---------------------------------------------------------------------------------------------

State: TypeAlias = tuple[frozenset[tuple[str, int]], frozenset[str]]
"""The users' generations where they are not 0, and the names of the sessions that are live."""


def after(state: State, event: Event, owner: Mapping[str, str]) -> State | None:
    """The state after an event, if its answer is what the contract says of that moment; None if it is not."""
    generations, live = state
    generation = dict(generations).get(event.user, 0)
    of_user = frozenset(name for name in live if owner[name] == event.user)
    match event.kind:
        case "find":
            return state if event.answer == (generation if event.name in live else None) else None
        case "begin":
            return state if event.answer == generation else None
        case "list":
            return state if event.answer == of_user else None
        case "login":
            if (event.answer == STALE) != _is_stale(event, generation, live, owner):
                return None
            if event.answer == STALE:
                return state
            return (generations, live - {event.replaces or ""} | {event.name}) if event.answer == generation else None
        case "revoke":
            return (generations, live - {event.name}) if event.answer == (event.name in live) else None
        case "others" if event.name not in live:
            return state if event.answer == GONE else None
        case _:  # others, all
            ended = of_user - {event.name}
            raised = frozenset({*(one for one in generations if one[0] != event.user), (event.user, generation + 1)})
            return (raised, live - ended) if event.answer == (len(ended), generation + 1) else None


def _is_stale(event: Event, generation: int, live: frozenset[str], owner: Mapping[str, str]) -> bool:
    """P3: the ticket, or the session that came with the request, or its age; here a request is new, or older than all."""
    if event.ticket is not None:
        return event.ticket != generation
    if event.replaces is not None and owner[event.replaces] == event.user:
        return event.replaces not in live
    return event.old and generation > 0


# --- the search -------------------------------------------------------------------------------------------------------


def is_linearizable(parts: Sequence[Sequence[Event]], owner: Mapping[str, str], live: frozenset[str]) -> bool:
    """Whether one order explains all answers. Each caller's own events follow one another."""
    start: tuple[tuple[int, ...], State] = (tuple(0 for _ in parts), (frozenset(), live))
    seen = {start}
    waiting = [start]
    while waiting:
        done, state = waiting.pop()
        following = [(caller, part[at]) for caller, (part, at) in enumerate(zip(parts, done, strict=True)) if at < len(part)]
        if not following:
            return True
        first_end = min(event.end for _, event in following)
        for caller, event in following:
            if event.start > first_end:
                continue  # another had ended before this one began
            then = after(state, event, owner)
            if then is not None:
                at = (tuple(done[i] + (i == caller) for i in range(len(done))), then)
                if at not in seen:
                    seen.add(at)
                    waiting.append(at)
    return False


def named(parts: Sequence[Sequence[Event]], known: Mapping[str, Session]) -> None:
    """Turn the ids that lists have answered into names."""
    names: dict[UUID, str] = {session.id: name for name, session in known.items()}
    names |= {event.id: event.name for part in parts for event in part if event.id is not None}
    for part in parts:
        for event in part:
            if event.kind == "list":
                event.answer = frozenset(names[one] for one in event.ids)
