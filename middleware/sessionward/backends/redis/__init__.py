"""Sessions in Redis: one server, Sentinel, or Redis Cluster."""

from importlib.util import find_spec

if find_spec("redis") is None:
    raise ModuleNotFoundError("sessionward.backends.redis needs redis-py: pip install 'sessionward[redis]'", name="redis")

from sessionward.backends.redis.backend import AsyncRedisBackend, RedisBackend

__all__ = ["AsyncRedisBackend", "RedisBackend"]
