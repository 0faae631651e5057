"""Histories of sign-ins, checks and ends, and whether some order of their moments explains all answers (P10).

A history is what several callers asked at once and were answered, each with the times between which it happened. It
is linearizable if every question can be given one moment between its times so that the sequential model below gives
the same answers: Wing and Gong's search, which remembers what it has tried.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
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

    def revoke_one(self, session: Session, id: UUID, /) -> bool: ...

    def revoke_all(self, user: str, /) -> RevokedCount: ...

    def list(self, user: str, /) -> Sequence[Session]: ...


# --- what is to be asked ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """``name`` is a session's name in its history.

    ``how``, for a login: fresh, old, ticket, or the session it replaces; for a revocation of one: the session that is revoked.
    """

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


def plan(prefix: str, *, mostly_checks: bool = False) -> Plan:
    """Four callers, four calls each, mostly on one user; a second user lends sessions that are replaced."""
    first, second = f"{prefix} a", f"{prefix} b"
    owner = dict.fromkeys(("a0", "a1", "a2"), first) | {"b0": second}
    calls: list[list[Call]] = []
    for caller in range(CALLERS):
        own: list[Call] = []
        for number in range(CALLS):
            kind = random.choices(_KINDS, _MOSTLY_CHECKS if mostly_checks else _MIXED)[0]
            if kind == "login":
                name, user = f"n{caller}{number}", random.choice([first, first, first, second])
                how = random.choice(["fresh", "old", "ticket", "ticket", *random.sample(sorted(owner), 2)])
                own.append(Call(kind, name, user, how))
                owner[name] = user
            elif kind in ("all", "list"):
                own.append(Call(kind, user=first))
            elif kind == "one":
                own.append(Call(kind, random.choice(["a0", "a1", "a2"]), how=random.choice(sorted(owner))))
            else:
                own.append(Call(kind, random.choice(sorted(owner))))
        calls.append(own)
    return Plan({name: new_token() for name in owner}, owner, calls)


_KINDS: Final = ["check", "login", "logout", "others", "one", "all", "list"]
_MIXED: Final = [5, 6, 3, 6, 6, 1, 2]
_MOSTLY_CHECKS: Final = [24, 1, 2, 4, 3, 1, 0]


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
    other: str = ""
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

    def one(self, call: Call) -> None:
        other, session = self._session(call.how), self._session(call.name)
        if other is not None and session is not None:
            event = Event("one", call.name, session.user_id, other=call.how)
            self._timed(event, lambda: self._asked.revoke_one(session, other.id))

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
        case "end":
            return generations, live - {event.name}
        case "revoke":
            return (generations, live - {event.name}) if event.answer == (event.name in live) else None
        case "others" | "one" if event.name not in live:
            return state if event.answer == GONE else None
        case "one":
            ends = event.other in of_user - {event.name}
            return (generations, live - {event.other} if ends else live) if event.answer == ends else None
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


def exactly(state: State, event: Event, owner: Mapping[str, str]) -> Sequence[State]:
    """The contract without leases, as a :data:`Model`."""
    then = after(state, event, owner)
    return [] if then is None else [then]


class AmongLeases:
    """The same where workers trust what they have read, made for one history: only what the contract says of leases is in order.

    A 200 and a refusal say that a session has ended; both wait until no worker trusts it. A sign-in that succeeds waits for
    nothing. So it may be answered before a revocation that is under way, has been committed, and has left it alone: others may
    still be accepted then. Here, a revocation need not end what was signed in while it was under way, and that a ticket was
    accepted says nothing of when it was made. How often a user has revoked is not in order, and nobody sees that number.
    """

    def __init__(self, parts: Sequence[Sequence[Event]]) -> None:
        self._logins = {event.name: event for part in parts for event in part if event.kind == "login"}

    def __call__(self, state: State, event: Event, owner: Mapping[str, str]) -> Sequence[State]:
        known = dict(state[0])
        generation = known.get(event.user, 0)
        match event.kind:
            case "begin":
                return [(state[0] | {(f"ticket {event.answer}", generation)}, state[1])]
            case "find":
                event = replace(event, answer=None if event.answer is None else generation)
            case "login" if event.answer == STALE:
                event = replace(event, ticket=None if event.ticket is None else known[f"ticket {event.ticket}"])
            case "login":
                event = replace(event, ticket=None if event.ticket is None else generation, answer=generation)
            case "others" | "all" if isinstance(event.answer, tuple):
                return self._ends(state, event, owner, generation, event.answer[0])
        return exactly(state, event, owner)

    def _ends(self, state: State, event: Event, owner: Mapping[str, str], generation: int, count: int) -> Sequence[State]:
        """Every way to leave alone some of those that were signed in meanwhile."""
        beside = [name for name in state[1] if owner[name] == event.user and name != event.name and self._was_beside(name, event)]
        ways: list[State] = []
        for left in (frozenset(left) for size in range(len(beside) + 1) for left in combinations(beside, size)):
            revoked = replace(event, answer=(count, generation + 1))
            ways += [(raised, live | left) for raised, live in exactly((state[0], state[1] - left), revoked, owner)]
        return ways

    def _was_beside(self, name: str, event: Event) -> bool:
        login = self._logins.get(name)
        return login is not None and login.start < event.end and event.start < login.end


class Overtaken:
    """The sign-ins of a history that may be refused where the age of a request is judged before the script that mints, as on Redis.

    The script compares the generation that was read then. So a request without a ticket that is as new as can be is refused too if its
    user revokes meanwhile: no raise is as old as it. Here a request may be newer than every raise, since no clock decides.
    """

    def __init__(self, parts: Sequence[Sequence[Event]]) -> None:
        self._raises = [event for part in parts for event in part if isinstance(event.answer, tuple)]

    def has(self, event: Event, owner: Mapping[str, str]) -> bool:
        renews = event.replaces is not None and owner[event.replaces] == event.user
        refused = event.kind == "login" and event.answer == STALE and event.ticket is None and not renews
        return refused and any(one.user == event.user and one.start < event.end and event.start < one.end for one in self._raises)


class OnRedis:
    """The contract without leases, made for one history, with what Redis may refuse."""

    def __init__(self, parts: Sequence[Sequence[Event]]) -> None:
        self._overtaken = Overtaken(parts)

    def __call__(self, state: State, event: Event, owner: Mapping[str, str]) -> Sequence[State]:
        return [state] if self._overtaken.has(event, owner) else exactly(state, event, owner)


class AmongLeasesOnRedis(AmongLeases):
    """The contract with leases, and what Redis may refuse."""

    def __init__(self, parts: Sequence[Sequence[Event]]) -> None:
        super().__init__(parts)
        self._overtaken = Overtaken(parts)

    def __call__(self, state: State, event: Event, owner: Mapping[str, str]) -> Sequence[State]:
        return [state] if self._overtaken.has(event, owner) else super().__call__(state, event, owner)


def in_two_moments(parts: Sequence[list[Event]], owner: Mapping[str, str]) -> None:
    """Has a sign-in that replaces another user's session begin its own first, and then end the other one.

    On Redis these are two keys, and two scripts. What happens to one user is in order.
    """
    for part in parts:
        for at in range(len(part) - 1, -1, -1):
            event = part[at]
            if event.kind != "login" or event.replaces is None or event.answer == STALE or owner[event.replaces] == event.user:
                continue
            ends = Event("end", event.replaces, owner[event.replaces], start=event.start, end=event.end)
            part[at : at + 1] = [replace(event, replaces=None), ends]


def with_tickets(parts: Sequence[Sequence[Event]]) -> None:
    """Names each ticket by a number, in place of what it says. The login that uses it follows in the same part."""
    number = 0
    for part in parts:
        for begun, following in pairwise(part):
            if begun.kind == "begin":
                number += 1
                begun.answer = following.ticket = number


# --- the search -------------------------------------------------------------------------------------------------------


Model: TypeAlias = Callable[[State, Event, Mapping[str, str]], Sequence[State]]
"""The states that there may be after an event; none if its answer cannot be."""


def is_linearizable(parts: Sequence[Sequence[Event]], owner: Mapping[str, str], live: frozenset[str], model: Model = exactly) -> bool:
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
            for then in model(state, event, owner):
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
