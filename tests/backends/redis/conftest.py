"""A Redis for the tests of its backend that change nothing but keys, and worlds over it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.redis_world import RedisWorld
from tests.contract.stepping import Stepper
from tests.support.redis_servers import Node, one_redis


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A Redis that other tests use too, one after the other."""
    with one_redis(tmp_path_factory.mktemp("redis")) as node:
        yield node


@pytest.fixture(scope="class")
def redis_world(request: pytest.FixtureRequest, shared_redis: Node) -> Iterator[RedisWorld]:
    """The world of a class that says whether it ``is_async``."""
    world = RedisWorld(shared_redis.url, shared_redis.client, is_async=getattr(request.cls, "is_async", False), timeout=10.0)
    if getattr(request.cls, "is_away", False):
        world.sessions.close()
        world.through(Stepper(shared_redis.client, away=True, is_cluster=True))
    yield world
    world.close()


@pytest.fixture
def world(redis_world: RedisWorld) -> RedisWorld:
    """The same, with nobody in it."""
    redis_world.clean()
    return redis_world


@pytest.fixture
def stepper(world: RedisWorld) -> Iterator[Stepper]:
    """A runner that a test can hold up between two calls. The world has its own one again at the end."""
    runner, place = world.backend._runner, world.place
    made = Stepper(world.looker)
    world.through(made)
    yield made
    world.backend._runner, world.backend._place = runner, place
