"""``sessionward restored`` and ``revoke --everybody`` on Redis say where they were, since a wrong database or prefix looks like success."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from tests.support.redis_backends import lives, opened, signed_in
from tests.support.redis_servers import Node
from tests.test_cli import run

COMMANDS = pytest.mark.parametrize("command", [["restored"], ["revoke", "--everybody"]], ids=" ".join)


@COMMANDS
def test_it_names_the_database_and_the_prefix_without_the_password(own_redis: Node, command: list[str]) -> None:
    own_redis.client.config_set("requirepass", "topsecret")
    own_redis.client.auth("topsecret")
    url = f"redis://default:topsecret@127.0.0.1:{own_redis.port}/1"
    with opened(url, prefix="shop") as backend:
        (own,) = signed_in(backend, "ann", 1)
        done = run(*command, "--backend", f"{url}?prefix=shop")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"redis://default:***@127.0.0.1:{own_redis.port}/1, keys that begin with shop:" in done.stdout
        assert "topsecret" not in done.stdout
        assert lives(backend, own) == [False]


@COMMANDS
def test_it_warns_if_nothing_was_there(own_redis: Node, command: list[str]) -> None:
    with opened(own_redis.url, prefix="shop") as backend:
        (own,) = signed_in(backend, "ann", 1)
        done = run(*command, "--backend", own_redis.url)
        assert done.returncode == 0
        assert "no session, and no revocation, under this prefix" in done.stderr
        assert lives(backend, own) == [True]
    assert run(*command, "--backend", own_redis.url).stderr == "", "the command itself was there before"


def test_what_a_command_cannot_reach_is_said_once() -> None:
    done = run("restored", "--backend", "redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("sessionward:") == 1


USES: dict[str, Callable[[RedisBackend], Any]] = {
    "a lease": lambda backend: backend.set_lease(0.5),
    "a sign-in": lambda backend: signed_in(backend, "ann", 1),
    "a revocation": lambda backend: backend.revoke_all("ann"),
    "the command": lambda backend: backend.revoke_everybody(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_prefix_has_been_used_after(use: Callable[[RedisBackend], Any], own_redis: Node) -> None:
    async def asked() -> bool:
        backend = AsyncRedisBackend(own_redis.url)
        unused = await backend.is_unused()
        await backend.close()
        return unused

    with opened(own_redis.url) as backend:
        assert (backend.is_unused(), asyncio.run(asked())) == (True, True)
        use(backend)
        assert (backend.is_unused(), asyncio.run(asked())) == (False, False)
