"""How long the answers take by which a user could learn of another user's sessions: ``python -m tests.api.timing [URL]``.

The URL is of an empty database; without one the sessions are in a SQLite file. The kinds of calls take turns, so that noise meets
all of them. ``noise`` is how far two halves of the same kind are apart: a difference between kinds below it says nothing.
"""

from __future__ import annotations

import atexit
import statistics
import sys
import tempfile
from collections.abc import Callable
from time import perf_counter
from typing import Final

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import new_token
from tests.api.houses import NOBODY, Client, sign_in
from tests.doors.sides import SESSIONS, WebTestHouse, town

ROUNDS: Final = 400
STRANGERS: Final = 200
"""Sessions of another user, for lists that could be slower for them."""


def measure(url: str) -> None:
    backend = SQLBackend(url)
    backend.create_tables()
    house = WebTestHouse(town, backend, api=True)
    ann, ended = sign_in(house, "ann"), sign_in(house, "ann")
    bobs = [sign_in(house, "bob") for _ in range(STRANGERS)]
    ann.ask("DELETE", f"/{ended.id}")
    names = {"unknown": str(NOBODY), "foreign": bobs[0].id, "ended": ended.id}
    compared("revoke one", {kind: _deleting(ann, name) for kind, name in names.items()})
    unknown = Client(house, new_token(), ended.session)
    compared("whoami", {"an ended session": lambda: ended.ask("GET", "/whoami"), "no session": lambda: unknown.ask("GET", "/whoami")})
    few, many = sign_in(house, "dora"), sign_in(house, "emil")
    compared("list", {"of one user": lambda: few.ask("GET"), "of another": lambda: many.ask("GET")})
    assert house.ask("GET", f"{SESSIONS}/whoami", ann.header).status == 200
    house.close()


def _deleting(client: Client, name: str) -> Callable[[], object]:
    return lambda: client.ask("DELETE", f"/{name}")


def compared(title: str, calls: dict[str, Callable[[], object]]) -> None:
    """Prints the median of each kind of call, and the noise."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(ROUNDS):
        for name in [*calls][:: 1 if turn % 2 else -1]:
            begun = perf_counter()
            calls[name]()
            times[name].append((perf_counter() - begun) * 1e6)
    halves = [abs(statistics.median(each[::2]) - statistics.median(each[1::2])) for each in times.values()]
    shown = ", ".join(f"{name} {statistics.median(each):.0f}" for name, each in times.items())
    print(f"{title}, microseconds: {shown}; noise {max(halves):.0f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1])
    else:
        folder = tempfile.TemporaryDirectory()
        atexit.register(folder.cleanup)  # after the last uses of sessions have been noted
        measure(f"sqlite:///{folder.name}/sessions.db")
