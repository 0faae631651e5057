"""The settings of a server that break a promise are told before its first script, or refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends.redis.call import Call, Flow
from sessionward.backends.redis.connect import server_of
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.server import Kind, Server
from sessionward.backends.redis.startup import SETTINGS, Startup, _warn
from sessionward.backends.redis.topology import OneServer
from sessionward.backends.redis.wire import Node
from sessionward.errors import OutcomeUnknown
from tests.backends.redis.runners import COUNT, READ, asking, both, called
from tests.support.redis_cluster import Cluster
from tests.support.redis_servers import Node as RealNode
from tests.support.redis_servers import one_redis

NODE = Node("10.0.0.1", 6379)
GOOD = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "cluster-allow-reads-when-down": "no"}


def replies(
    settings: Mapping[str, str | None], *, version: str = "7.2.4", role: str = "master", replicas: int = 0, cluster: int = 0
) -> Sequence[Any]:
    information = [
        f"# Server\r\nredis_version:{version}\r\n",
        f"# Replication\r\nrole:{role}\r\nconnected_slaves:{replicas}\r\n",
        f"cluster_enabled:{cluster}\r\n",
    ]
    values = [settings.get(name) for name in SETTINGS]
    return [
        *(text.encode() for text in information),
        *([name.encode(), value.encode()] if value is not None else [] for name, value in zip(SETTINGS, values, strict=True)),
    ]


@pytest.fixture(autouse=True)
def told_nothing_yet() -> None:
    """In this process, in which other tests have had servers with the same address."""
    _warn.cache_clear()


def judged(startup: Startup, answers: Sequence[Any], caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, "sessionward"):
        startup.judge(NODE, answers)
    return [record.getMessage() for record in caplog.records]


def test_a_process_tells_of_a_setting_once(caplog: pytest.LogCaptureFixture) -> None:
    """A worker may make more than one backend, and each has connections to examine."""
    for _ in range(2):
        (told,) = judged(Startup("server", None, strict=False), replies({**GOOD, "appendonly": "no"}), caplog)
    assert "writes nothing to the disk" in told


def test_a_server_that_keeps_its_promises_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    assert judged(Startup("server", None, strict=False), replies(GOOD), caplog) == []
    Startup("server", Wait(1, 500), strict=True).judge(NODE, replies(GOOD, replicas=1))


BREAKS = {
    "snapshots alone": ({"appendonly": "no", "save": "3600 1"}, "snapshots only"),
    "nothing on the disk": ({"appendonly": "no"}, "writes nothing to the disk"),
    "no fsync": ({"appendfsync": "no"}, "appendfsync is no"),
    "any key may be evicted": ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
    "keys that expire may be evicted": ({"maxmemory-policy": "volatile-ttl"}, "maxmemory-policy is volatile-ttl"),
}


@pytest.mark.parametrize(("changed", "why"), BREAKS.values(), ids=BREAKS)
def test_a_setting_that_breaks_a_promise_is_told_or_refused(changed: dict[str, str], why: str, caplog: pytest.LogCaptureFixture) -> None:
    answers = replies(GOOD | changed)
    (said,) = judged(Startup("server", None, strict=False), answers, caplog)
    assert said.startswith("Redis at 10.0.0.1:6379: ")
    assert why in said
    assert "set " in said, "the way out"
    with pytest.raises(ConfigurationError, match=why):
        Startup("server", None, strict=True).judge(NODE, answers)


def test_all_settings_that_break_a_promise_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Startup("cluster", Wait(2, 500), strict=True).judge(
            NODE,
            replies({"appendonly": "no", "maxmemory-policy": "allkeys-lru", "cluster-allow-reads-when-down": "yes"}, replicas=1, cluster=1),
        )
    assert len(refused.value.mistakes) == 4


def test_too_few_replicas_for_wait_are_told(caplog: pytest.LogCaptureFixture) -> None:
    (said,) = judged(Startup("server", Wait(2, 500), strict=False), replies(GOOD, replicas=1), caplog)
    assert "it has 1 replica, and wait=(2, 500) needs 2" in said


@pytest.mark.parametrize("kind", ["server", "sentinel", "cluster"])
def test_a_replica_is_told_where_no_look_up_finds_its_primary(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    answers = replies(GOOD, role="slave", cluster=kind == "cluster")
    assert any("name its primary" in said for said in judged(Startup(kind, None, strict=False), answers, caplog)) is (kind == "server")


def test_reads_without_a_cluster_are_told_only_of_a_cluster(caplog: pytest.LogCaptureFixture) -> None:
    changed = GOOD | {"cluster-allow-reads-when-down": "yes"}
    assert judged(Startup("server", None, strict=False), replies(changed), caplog) == []
    (said,) = judged(Startup("cluster", None, strict=False), replies(changed, cluster=1), caplog)
    assert "cluster-allow-reads-when-down" in said


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_a_host_that_lets_nobody_read_its_settings_is_told_of(strict: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Many hosted servers do not, so ``strict`` cannot demand it."""
    (said,) = judged(Startup("server", None, strict=strict), replies({}), caplog)
    assert "could not be read" in said
    caplog.clear()
    _warn.cache_clear()
    (said,) = judged(Startup("server", None, strict=strict), [Exception("NOPERM")] * (3 + len(SETTINGS)), caplog)
    assert "could not be read" in said


@pytest.mark.parametrize("version", ["6.2.14", "5.0"])
def test_a_version_without_the_flags_of_scripts_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is version {version}; Redis 7.0 or later"):
        Startup("server", None, strict=False).judge(NODE, replies(GOOD, version=version))


def test_a_server_of_the_other_kind_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"write redis\+cluster://"):
        Startup("server", None, strict=False).judge(NODE, replies(GOOD, cluster=1))
    with pytest.raises(ConfigurationError, match="write redis://"):
        Startup("cluster", None, strict=False).judge(NODE, replies(GOOD, cluster=0))


# --- real servers


@both
def test_a_server_is_looked_at_once_in_a_process(own_redis: RealNode, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    own_redis.client.config_resetstat()
    with caplog.at_level(logging.WARNING, "sessionward"), asking(own_redis.url, is_async=is_async) as ask:
        for _ in range(5):
            ask(called(COUNT, b"k"))
        own_redis.client.client_kill_filter(_type="normal", skipme=True)
        ask(called(COUNT, b"k"))
    assert [record.getMessage().partition(": ")[2][:31] for record in caplog.records] == ["maxmemory-policy is allkeys-lru"]
    assert own_redis.info("commandstats")["cmdstat_config|get"]["calls"] == len(SETTINGS)


@both
def test_a_strict_backend_asks_nothing_of_a_server_until_its_settings_are_right(own_redis: RealNode, is_async: bool) -> None:
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    with asking(own_redis.url, is_async=is_async, strict=True) as ask:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="maxmemory-policy is allkeys-lru"):
                ask(called(COUNT, b"k"))
        own_redis.client.config_set("maxmemory-policy", "noeviction")
        assert ask(called(COUNT, b"k")) == 1


@both
def test_a_user_who_may_run_scripts_alone_is_served(own_redis: RealNode, is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    own_redis.client.acl_setuser("app", enabled=True, passwords=["+pw"], keys=["*"], commands=["+evalsha", "+eval", "+incr", "+get"])
    with caplog.at_level(logging.WARNING, "sessionward"), asking(f"redis://app:pw@127.0.0.1:{own_redis.port}", is_async=is_async) as ask:
        assert ask(called(COUNT, b"k")) == 1
    assert ["could not be read" in record.getMessage() for record in caplog.records] == [True]
    assert "pw" not in caplog.text.replace("pw@", "")


@both
def test_a_replica_says_that_it_is_one(redis_pair: tuple[RealNode, RealNode], is_async: bool) -> None:
    with asking(redis_pair[1].url, is_async=is_async) as ask:
        for script in (COUNT, READ):
            with pytest.raises(BackendUnavailable, match="replica"):
                ask(called(script, b"k"))


@both
def test_one_node_of_a_cluster_as_a_single_server_is_refused(shared_cluster: Cluster, is_async: bool) -> None:
    with asking(shared_cluster.primaries()[0].url, is_async=is_async) as ask, pytest.raises(ConfigurationError, match=r"redis\+cluster://"):
        ask(called(COUNT, b"k"))


@both
def test_a_single_server_as_a_cluster_is_refused(redis_url: str, is_async: bool) -> None:
    address = redis_url.replace("redis://", "redis+cluster://", 1)
    with asking(address, is_async=is_async) as ask, pytest.raises(ConfigurationError, match="write redis:// or rediss://"):
        ask(called(COUNT, b"k"))


class ByKey(OneServer):
    """Has each key on the server whose port it names, as the slots of a cluster do."""

    def node_of(self, key: bytes) -> Node:
        return Node("127.0.0.1", int(key))


class Several(Server):
    """Servers of a cluster, found without asking them."""

    def topology(self) -> ByKey:
        return ByKey(self.seeds[0])


@both
@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "at once"])
def test_p4_a_second_server_that_is_refused_after_a_write_makes_the_outcome_unknown(
    own_redis: RealNode, tmp_path: Path, at_once: bool, is_async: bool
) -> None:
    with one_redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as wrong:
        first, second = (Call(COUNT, str(node.port).encode(), writes=True) for node in (own_redis, wrong))

        def write(*calls: Call) -> Flow[Any]:
            reply: Any = None
            for call in calls:
                reply = yield call
            return reply

        def write_at_once(*calls: Call) -> Flow[Any]:
            return (yield calls)

        flow = write_at_once if at_once else write
        plain = server_of(own_redis.url, is_async=is_async)
        server = Several(plain.kind, plain.seeds, is_async, plain.maker)
        with asking(server, is_async=is_async, strict=True) as ask:
            with pytest.raises(ConfigurationError, match="allkeys-lru"):
                ask(write(second))
            assert ask(write(first)) == 1
            with pytest.raises((OutcomeUnknown, ConfigurationError), match="allkeys-lru") as failed:
                ask(flow(first, second))
        ran = own_redis.client.get(str(own_redis.port)) == b"2"
        assert not ran or isinstance(failed.value, OutcomeUnknown)
        assert ran or at_once
        assert wrong.client.get(str(wrong.port)) is None
