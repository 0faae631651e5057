"""How a client of redis-py connects. We read it and open connections of our own: its retries would repeat what may have run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from redis import Redis, RedisCluster
from redis import asyncio as redis_async
from redis import connection as redis_sync
from redis import sentinel as sentinel_sync
from redis.asyncio import sentinel as sentinel_async
from redis.asyncio.client import Pipeline as AsyncPipeline
from redis.client import Pipeline

from sessionward.backends.redis.server import Maker, Server
from sessionward.backends.redis.wire import Node
from sessionward.errors import ConfigurationError

NAMES: Final = ("RedisBackend", "AsyncRedisBackend")
OURS: Final = frozenset(
    {
        *("host", "port", "path", "connection_pool", "connection_class", "max_connections", "cache", "response_callbacks"),
        *("retry", "retry_on_error", "retry_on_timeout", "socket_timeout", "socket_connect_timeout", "health_check_interval"),
        *("decode_responses", "protocol", "legacy_responses", "parser_class"),
        *("event_dispatcher", "himport_registry", "maint_notifications_config", "maint_notifications_pool_handler"),
        *("oss_cluster_maint_notifications_handler", "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout"),
    }
)
"""What our own connections have of their own: what the client repeats and decodes does not reach us."""


def from_client(client: object, *, is_async: bool) -> Server:
    """Raises :class:`ConfigurationError` for anything but a client that is sync or async as asked. The client is never used, nor closed."""
    found = _is_async(client)
    if found is None:
        kind = "redis.asyncio" if is_async else "redis"
        raise ConfigurationError(
            f"server: must be a URL such as redis://host:6379/0, or a client ({kind}.Redis, {kind}.RedisCluster or"
            f" Sentinel.master_for()), not {type(client).__name__}"
        )
    if found != is_async:
        wanted = "redis.asyncio.Redis" if is_async else "redis.Redis"
        raise ConfigurationError(
            f"server: this client is {'async' if found else 'sync'}: use {NAMES[found]} for it, or pass a client such as {wanted}"
        )
    known: Any = client
    if isinstance(client, (RedisCluster, redis_async.RedisCluster)):
        return _from_cluster(known, is_async=is_async)
    pool = known.connection_pool
    if isinstance(pool, (sentinel_sync.SentinelConnectionPool, sentinel_async.SentinelConnectionPool)):
        return _from_sentinels(pool, is_async=is_async)
    settings: Mapping[str, Any] = pool.connection_kwargs
    node = Node(settings["path"], 0) if "path" in settings else Node(settings.get("host", "localhost"), int(settings.get("port", 6379)))
    return Server("server", (node,), is_async, Maker(pool.connection_class, _kept(settings)))


def _is_async(client: object) -> bool | None:
    """Returns whether a client is async; None if it is none that we can use."""
    if isinstance(client, (Pipeline, AsyncPipeline)):
        return None
    if isinstance(client, (redis_async.Redis, redis_async.RedisCluster)):
        return True
    return False if isinstance(client, (Redis, RedisCluster)) else None


def _from_cluster(client: Any, *, is_async: bool) -> Server:
    nodes = client.nodes_manager
    known = [*nodes.startup_nodes.values()]
    if is_async:
        make, settings = known[0].connection_class, known[0].connection_kwargs
    else:
        pool = client.get_redis_connection(client.get_default_node()).connection_pool
        make, settings = pool.connection_class, pool.connection_kwargs
    seeds = tuple(Node(node.host, int(node.port)) for node in known)
    kept = {name: value for name, value in _kept(settings).items() if name not in ("db", "redis_connect_func")}
    return Server("cluster", seeds, is_async, Maker(make, kept), remap=nodes.address_remap)


def _from_sentinels(pool: Any, *, is_async: bool) -> Server:
    if not pool.is_master:
        raise ConfigurationError("server: this client reads from replicas, which lag behind; pass Sentinel.master_for()")
    clients = [sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels]
    nodes = tuple(Node(each.connection_kwargs["host"], int(each.connection_kwargs["port"]), is_sentinel=True) for each in clients)
    classes: Any = redis_async if is_async else redis_sync
    managed = (sentinel_sync.SentinelManagedSSLConnection, sentinel_async.SentinelManagedSSLConnection)
    make: Any = classes.SSLConnection if issubclass(pool.connection_class, managed) else classes.Connection
    asking = Maker(clients[0].connection_class, _kept(clients[0].connection_kwargs))
    return Server("sentinel", nodes, is_async, Maker(make, _kept(pool.connection_kwargs)), asking, pool.service_name)


def _kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in OURS}
