"""The contract over a Redis Cluster: sync and async while nothing moves, and sync while every slot is half moved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.redis import RedisContract
from tests.contract.redis_world import RedisWorld
from tests.support.redis_cluster import Cluster, every_slot_migrating
from tests.torture.redis_keys import client_of


@pytest.fixture(scope="class")
def redis_world(request: pytest.FixtureRequest, shared_cluster: Cluster) -> Iterator[RedisWorld]:
    """The world of a class that says whether it ``is_async``."""
    with client_of(shared_cluster.url) as looker:
        world = RedisWorld(shared_cluster.url, looker, is_async=request.cls.is_async, timeout=10.0)
        yield world
        world.close()


class TestCluster(RedisContract):
    is_async = False


class TestClusterAsync(RedisContract):
    is_async = True


@pytest.fixture(scope="class")
def _half_moved(shared_cluster: Cluster) -> Iterator[None]:
    """Each slot is on its way: a key that is there stays where it is, and a new one is made at the target."""
    with every_slot_migrating(shared_cluster):
        yield


@pytest.mark.usefixtures("_half_moved", "redis_world")
class TestHalfMoved(RedisContract):
    is_async = False
