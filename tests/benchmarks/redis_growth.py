"""A million sessions in Redis: the bytes of each, and whether a check takes longer than among ten thousand."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from sessionward.backends import Credential
from sessionward.backends.redis import RedisBackend
from tests.benchmarks.measure import Effort, Result, Row, alternate, compared, repeated
from tests.benchmarks.redis_load import EACH, load, memory
from tests.support.redis_servers import one_redis

SMALL: Final = 10_000
ASKED: Final = 5_000
"""Sessions that are looked up, spread over all of them."""
WIDE: Final = ("--hash-max-listpack-value", "512")
"""A setting of the server: small hashes whose values have up to so many bytes are kept in one piece."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A backend whose server has nothing but these sessions. ``size``: bytes of each."""

    backend: RedisBackend
    credentials: list[Credential]
    size: float


def measure(effort: Effort) -> Iterator[Result]:
    number = 1_000_000 if effort.rounds >= Effort.full().rounds else 100_000
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        small, large = (_loaded(each, Path(folder) / str(each), stack) for each in (SMALL, number))
        sides = {"small": repeated(small.backend.find, small.credentials), "large": repeated(large.backend.find, large.credentials)}
        rounds = alternate(sides, effort.longer())
        wide = _loaded(SMALL, Path(folder) / "wide", stack, *WIDE).size
    beside = f"of {SMALL:,} {_bytes(small.size)}, with `{' '.join(WIDE).removeprefix('--')}` {_bytes(wide)}"
    yield Row(f"{number:,} sessions in Redis, {EACH} of each user: bytes of one", _bytes(large.size), beside, [large.size], _bytes, None)
    yield compared("a check among them, p50", rounds["large"], f"among {SMALL:,}", rounds["small"], 1.2)


def _bytes(number: float) -> str:
    return f"{number:.0f} bytes"


def _loaded(number: int, folder: Path, stack: ExitStack, *options: str) -> Loaded:
    server = stack.enter_context(one_redis(folder, "--auto-aof-rewrite-percentage", "0", *options))  # no rewrite while we measure
    backend = RedisBackend(server.url)
    stack.callback(backend.close)
    with redis.Redis.from_url(server.url) as client:
        backend.find(Credential(b"unknown"))  # connected
        before = memory(client)
        credentials = load(backend, client, number, ASKED)
        size = (memory(client) - before) / number
    random.Random(1).shuffle(credentials)  # so that neighbours are no neighbours in memory
    assert all(backend.find(credential) is not None for credential in credentials[:100])
    return Loaded(backend, credentials, size)
