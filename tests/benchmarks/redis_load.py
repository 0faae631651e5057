"""Many sessions in Redis, written by the backend's own flows, whose calls go out in pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from sessionward.backends import Credential, Device, NewSession
from sessionward.backends.redis import RedisBackend, login, reading
from sessionward.backends.redis.call import Call, Flow
from sessionward.backends.redis.topology import slot_of
from sessionward.backends.redis.wire import packed
from sessionward.credential.token import new_token
from tests.benchmarks.requests import FIELDS

R = TypeVar("R")

BATCH: Final = 500
"""Flows that go on together."""
EACH: Final = 2
"""Sessions of one user."""
BROWSER: Final = Device(ip_address="203.0.113.199", user_agent=dict(FIELDS)["user-agent"])


def sign_ins(number: int, credentials: list[Credential], keep_every: int) -> Iterator[NewSession]:
    """So many sign-ins of browsers, :data:`EACH` by one user. Every so many of their credentials are put down."""
    for one in range(number):
        credential = Credential(new_token().encode())
        if one % keep_every == 0:
            credentials.append(credential)
        yield NewSession(
            user_id=f"user-{one // EACH}",
            digest=credential.digest,
            lifetime=14 * 86_400.0,
            age=lambda: -1.0,
            device=BROWSER,
            methods=("password",),
        )


def load(backend: RedisBackend, client: Any, number: int, keep: int) -> list[Credential]:
    """Starts so many sessions; the credentials of so many of them. ``client``: of the same server, which must not be a cluster."""
    credentials: list[Credential] = []
    place = backend._place
    for _ in together(client, (login.login(place, new) for new in sign_ins(number, credentials, max(1, number // keep)))):
        pass
    return credentials


def together(client: Any, flows: Iterable[Flow[R]]) -> Iterator[R]:
    """What becomes of flows that go on side by side: the calls of a step are one pipeline. ``client`` must not be of a cluster."""
    turns = iter(flows)
    loaded: set[str] = set()
    while batch := list(islice(turns, BATCH)):
        yield from _together(client, batch, loaded)


def _together(client: Any, flows: Sequence[Flow[R]], loaded: set[str]) -> list[R]:
    results: dict[int, R] = {}
    replies: dict[int, Any] = dict.fromkeys(range(len(flows)))
    while replies:
        asked: dict[int, Call | Sequence[Call]] = {}
        for number, reply in replies.items():
            try:
                asked[number] = flows[number].send(reply)
            except StopIteration as end:
                results[number] = end.value
        replies = _answered(client, asked, loaded)
    return [results[number] for number in range(len(flows))]


def _answered(client: Any, asked: dict[int, Call | Sequence[Call]], loaded: set[str]) -> dict[int, Any]:
    calls = {number: [call] if isinstance(call, Call) else list(call) for number, call in asked.items()}
    with client.pipeline(transaction=False) as pipeline:
        for call in (call for some in calls.values() for call in some):
            if call.script.sha not in loaded:
                loaded.add(client.script_load(call.script.text))
            pipeline.evalsha(call.script.sha, 1, call.key, *call.arguments)
        found = iter(pipeline.execute() if calls else [])
    return {number: next(found) if isinstance(asked[number], Call) else [next(found) for _ in some] for number, some in calls.items()}


def memory(client: Any) -> int:
    """Bytes that the server has for its data."""
    return int(client.info("memory")["used_memory_dataset"])


# --- checks, ready to be sent -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """The command of a check, as it goes over the wire, and the slot of its key."""

    command: bytes
    slot: int


def checks(url: str, number: int) -> Sequence[Check]:
    """Starts so many sessions; what the backend sends to check each of them once it knows them."""
    backend, credentials, found = RedisBackend(url), list[Credential](), list[Check]()
    place = backend._place
    for new in sign_ins(number, credentials, 1):
        backend.login(new)
    for credential in credentials:
        assert backend.find(credential) is not None
        call = next(reading.check(place, credential.digest))
        assert isinstance(call, Call)
        found.append(Check(packed("EVALSHA", call.script.sha, 1, call.key, *call.arguments), slot_of(call.key)))
    backend.close()
    return found
