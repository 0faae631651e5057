"""Which servers a URL or a client names, what is refused and with which way out, and that no secret is shown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import asyncio as redis_async
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.redis.connect import server_of, wait_of
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.wire import Node
from sessionward.errors import OutcomeUnknown
from tests.backends.redis.runners import COUNT, SHORT, TIMEOUT, asking, both, called
from tests.sidecar.test_serve import certificate
from tests.support.redis_cluster import Cluster
from tests.support.redis_servers import Node as RealNode
from tests.support.redis_servers import Sentinel as SentinelNode
from tests.support.redis_servers import Watched, one_redis, started
from tests.support.servers import free_port

# --- URLs

URLS: dict[str, tuple[str, str, list[Node], dict[str, Any]]] = {
    "a server": ("redis://h:7000/3", "server", [Node("h", 7000)], {"db": 3}),
    "the usual port": ("redis://h", "server", [Node("h", 6379)], {"db": 0}),
    "an address of IPv6": ("redis://[::1]:7000", "server", [Node("::1", 7000)], {}),
    "the usual port of IPv6": ("redis://[::1]", "server", [Node("::1", 6379)], {}),
    "a user": ("redis://ann:p%40ss@h", "server", [Node("h", 6379)], {"username": "ann", "password": "p@ss"}),
    "a password alone": ("redis://:p%2Fw@h", "server", [Node("h", 6379)], {"password": "p/w"}),
    "a database in the query": ("redis://h?db=2&client_name=web", "server", [Node("h", 6379)], {"db": 2, "client_name": "web"}),
    "TLS": (f"rediss://h?ssl_ca_certs={__file__}&ssl_check_hostname=no", "server", [Node("h", 6379)], {"ssl_check_hostname": False}),
    "a Unix socket": ("unix:///run/redis.sock?db=1", "server", [Node("/run/redis.sock", 0)], {"db": 1}),
    "a user of a Unix socket": ("unix://ann:pw@/run/r.sock", "server", [Node("/run/r.sock", 0)], {"username": "ann"}),
    "Sentinels": (
        "redis+sentinel://:pw@a:1,b,[::1]:3/mymaster/4?sentinel_password=spw",
        "sentinel",
        [Node("a", 1, True), Node("b", 26379, True), Node("::1", 3, True)],
        {"db": 4, "password": "pw"},
    ),
    "a cluster": ("redis+cluster://ann:pw@a:1,b", "cluster", [Node("a", 1), Node("b", 6379)], {"username": "ann"}),
    "a cluster with TLS": ("rediss+cluster://a/0?ssl_ciphers=HIGH", "cluster", [Node("a", 6379)], {"ssl_ciphers": "HIGH"}),
}


@both
@pytest.mark.parametrize(("url", "kind", "nodes", "settings"), URLS.values(), ids=URLS)
def test_a_url_names_its_servers(url: str, kind: str, nodes: list[Node], settings: dict[str, Any], is_async: bool) -> None:
    server = server_of(url, is_async=is_async)
    assert (server.kind, list(server.seeds)) == (kind, nodes)
    assert settings.items() <= server.maker.settings.items()
    connection = server.connection(nodes[0], 2.0)
    assert isinstance(connection, redis_async.connection.AbstractConnection if is_async else redis.connection.AbstractConnection)
    assert type(connection).__name__.startswith("SSL") is url.startswith("rediss")
    assert connection.retry.get_retries() == 0


def test_the_user_of_the_sentinels_is_not_that_of_the_primary() -> None:
    server = server_of("redis+sentinel://ann:pw@a/m?sentinel_username=bob&sentinel_password=spw&client_name=x", is_async=False)
    asking_sentinel, asking_primary = server.connection(server.seeds[0], 1.0), server.connection(Node("p", 1), 1.0)
    assert (asking_sentinel.username, asking_sentinel.password) == ("bob", "spw")
    assert (asking_primary.username, asking_primary.password) == ("ann", "pw")


WRONG = {
    "no URL": ("localhost", "it is no URL"),
    "another database": ("mysql://h/db", "mysql:// is not supported"),
    "a name of another client": ("valkey://h", "valkey:// is not supported; use one of redis://"),
    "no host": ("redis://", "names no host"),
    "no host before the port": ("redis://:6379", "names no host"),
    "a port that is none": ("redis://h:http", "a port is no number"),
    "a port that is too large": ("redis://h:70000", "a port is no number"),
    "a database that is none": ("redis://h/main", "its database is no number"),
    "a path that goes on": ("redis://h/0/1", "too many parts"),
    "a password with a #": ("redis://:a#b@h", "percent-encode it as %23"),
    "a password with a ?": ("redis://:a?b@h", "percent-encode [?] as %3F"),
    "a password with a /": ("redis://:a/b@h", "percent-encode / as %2F"),
    "a password in the query, with an @": ("redis://h?password=a@b", "write it before the host"),
    "an option that is no name": ("redis://h?Top=1", "an option is not supported; use one of db, client_name"),
    "two colons": ("redis://h:63:79", "its host has a colon"),
    "IPv6 without brackets": ("redis://::1", "in brackets"),
    "a way to verify that is none": ("rediss://h?ssl_cert_reqs=bogus", "ssl_cert_reqs must be one of required, optional, none"),
    "a flag that is none": ("rediss://h?ssl_check_hostname=maybe", "ssl_check_hostname must be yes or no"),
    "a cipher that is none": ("rediss://h?ssl_ciphers=bogus", "ssl_ciphers names no cipher"),
    "brackets that are open": ("redis://[::1", "its host cannot be read"),
    "two servers": ("redis://a,b", r"redis\+sentinel:// or redis\+cluster://"),
    "Sentinels without a name": ("redis+sentinel://a:1", "the name of the primary"),
    "a database of a cluster": ("redis+cluster://a/1", "the database 0 only"),
    "a Unix socket with a host": ("unix://h/run/redis.sock", "must follow three slashes"),
    "a Unix socket without a path": ("unix://", "must follow three slashes"),
    "an option of the backend": ("redis://h?prefix=shop", "'prefix' is not supported: use the backend's prefix"),
    "an option of redis-py": ("redis://h?decode_responses=true", "'decode_responses' is not supported: leave it out"),
    "a timeout": ("redis://h?socket_timeout=1", "use the backend's timeout"),
    "retries": ("redis://h?retry_on_timeout=1", "nothing is ever repeated"),
    "TLS without TLS": ("redis://h?ssl_ca_certs=x", "it is for rediss:// only"),
    "a file that is missing": ("rediss://h?ssl_ca_certs=/no/such.pem", "ssl_ca_certs: there is no '/no/such.pem'"),
    "an option of Sentinels": ("redis://h?sentinel_password=x", "'sentinel_password' is not supported"),
}


@both
@pytest.mark.parametrize(("url", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_url_is_refused_with_the_way_out(url: str, why: str, is_async: bool) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        server_of(url, is_async=is_async)
    assert str(refused.value).startswith("server: ")


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:topsecret@h/x",
        "redis://u:topsecret@h:http",
        "redis://h?password=topsecret",
        "topsecret",
        "redis+cluster://u:topsecret@h/3",
        "redis://:a?topsecret@h",
        "redis://:a?topsecret&db=1@h",
        "redis://u:a?b=topsecret@h",
        "redis://:a@b?topsecret@h",
        "redis://h?TOPSECRET=topsecret",
        "rediss://:a?ssl_keyfile=topsecret@h",
        "redis://:a/topsecret@h",
        "redis://:a#topsecret@h",
    ],
)
def test_no_refusal_shows_a_secret(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        server_of(url, is_async=False)
    assert "topsecret" not in str(refused.value).lower()


def test_what_is_shown_of_a_server_has_no_secret() -> None:
    server = server_of("redis+sentinel://u:topsecret@h/m?sentinel_password=topsecret", is_async=False)
    assert "topsecret" not in repr(server)


@pytest.mark.parametrize("wait", [None, (1, 500), (2, 1)])
def test_a_wait_is_how_many_replicas_and_for_how_long(wait: Any) -> None:
    assert wait_of(wait, 2.0) == (None if wait is None else Wait(*wait))


@pytest.mark.parametrize("wait", [1, (1,), (0, 500), (1, 0), (1, 0.5), (1, 60_001), "1,500", (1, 2, 3), (True, 500), (1, True)])
def test_any_other_wait_is_refused(wait: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must be \(replicas, milliseconds\)"):
        wait_of(wait, 100.0)


def test_a_wait_that_no_call_has_the_time_for_is_refused() -> None:
    assert wait_of((1, 1_999), 2.0) == Wait(1, 1_999)
    for milliseconds in (2_000, 5_000):
        with pytest.raises(ConfigurationError, match=f"{milliseconds} milliseconds must be fewer than the timeout of 2 s"):
            wait_of((1, milliseconds), 2.0)
    with pytest.raises(ConfigurationError, match="must be fewer than the timeout"):
        RedisBackend("redis://h", wait=(1, 500), timeout=0.5)


@pytest.mark.parametrize("backend", [RedisBackend, AsyncRedisBackend])
@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("keep_revoked", float("inf"), "at most"),
        ("keep_revoked", 1e18, "at most"),
        ("keep_revoked", float("nan"), "at least"),
        ("prefix", "\ud800", "printable"),
        ("strict", "no", "True or False"),
    ],
)
def test_a_setting_that_no_call_would_work_with_is_refused_at_start(backend: Any, setting: str, value: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{setting}: .*{why}"):
        backend("redis://h", **{setting: value})


# --- clients


@both
def test_a_client_names_its_server_and_how_it_connects(is_async: bool) -> None:
    kind: Any = redis_async if is_async else redis
    server = server_of(
        kind.Redis(host="h", port=7000, db=3, password="pw", username="ann", ssl=True, ssl_ca_certs="ca.pem"), is_async=is_async
    )
    connection = server.connection(server.seeds[0], 2.0)
    assert (connection.host, connection.port, connection.db, connection.username, connection.password) == ("h", 7000, 3, "ann", "pw")
    assert type(connection).__name__ == "SSLConnection"
    assert server.maker.settings["ssl_ca_certs"] == "ca.pem"


@both
def test_a_client_of_a_unix_socket_names_its_path(is_async: bool) -> None:
    kind: Any = redis_async if is_async else redis
    server = server_of(kind.Redis(unix_socket_path="/run/redis.sock"), is_async=is_async)
    assert server.seeds == (Node("/run/redis.sock", 0),)
    assert server.connection(server.seeds[0], 2.0).path == "/run/redis.sock"


@both
def test_a_client_behind_sentinels_names_them_and_its_primary(is_async: bool) -> None:
    kind: Any = AsyncSentinel if is_async else Sentinel
    sentinels = kind([("a", 1), ("b", 2)], sentinel_kwargs={"password": "spw"}, password="pw")
    server = server_of(sentinels.master_for("mymaster", db=2), is_async=is_async)
    assert (server.kind, server.name, server.seeds) == ("sentinel", "mymaster", (Node("a", 1, True), Node("b", 2, True)))
    assert server.connection(server.seeds[1], 1.0).password == "spw"
    primary = server.connection(Node("p", 9), 1.0)
    assert (primary.host, primary.port, primary.db, primary.password) == ("p", 9, 2, "pw")


@both
def test_a_client_that_reads_from_replicas_is_refused(is_async: bool) -> None:
    kind: Any = AsyncSentinel if is_async else Sentinel
    with pytest.raises(ConfigurationError, match=r"pass Sentinel.master_for"):
        server_of(kind([("a", 1)]).slave_for("mymaster"), is_async=is_async)


def test_a_client_of_the_other_colour_is_refused_by_the_name_of_the_right_class() -> None:
    with pytest.raises(ConfigurationError, match="this client is async: use AsyncRedisBackend"):
        server_of(redis_async.Redis(), is_async=False)
    with pytest.raises(ConfigurationError, match="this client is sync: use RedisBackend"):
        server_of(redis.Redis(), is_async=True)
    with pytest.raises(ConfigurationError, match="this client is async: use AsyncRedisBackend"):
        server_of(redis_async.RedisCluster(host="h"), is_async=False)


@both
@pytest.mark.parametrize("server", [None, 7, b"redis://h", object()], ids=["None", "a number", "bytes", "an object"])
def test_anything_else_is_refused(server: object, is_async: bool) -> None:
    with pytest.raises(ConfigurationError, match="must be a URL such as redis://host:6379/0, or a client"):
        server_of(server, is_async=is_async)


@both
def test_a_pipeline_is_refused(is_async: bool) -> None:
    client: Any = redis_async.Redis() if is_async else redis.Redis()
    with pytest.raises(ConfigurationError, match="not Pipeline"):
        server_of(client.pipeline(), is_async=is_async)


def test_a_sync_client_of_a_cluster_lends_its_servers(shared_cluster: Cluster) -> None:
    with redis.RedisCluster.from_url(shared_cluster.primaries()[0].url) as client, asking(client, is_async=False) as ask:
        assert [ask(called(COUNT, f"{id(client)}:{n}".encode())) for n in range(20)] == [1] * 20


def test_an_async_client_of_a_cluster_lends_its_servers(shared_cluster: Cluster) -> None:
    client: Any = redis_async.RedisCluster(host="127.0.0.1", port=shared_cluster.primaries()[0].port)
    with asking(client, is_async=True) as ask:
        assert [ask(called(COUNT, f"{id(client)}:{n}".encode())) for n in range(20)] == [1] * 20
    asyncio.run(client.aclose())


@both
def test_a_client_behind_sentinels_lends_them(watched_redis: Watched, is_async: bool) -> None:
    addresses = [("127.0.0.1", one.port) for one in watched_redis.sentinels]
    kind: Any = AsyncSentinel if is_async else Sentinel
    with asking(kind(addresses).master_for("mymaster"), is_async=is_async) as ask:
        assert ask(called(COUNT, b"k")) == 1
    assert watched_redis.primary().client.get("k") == b"1"


@both
def test_sentinels_that_are_cut_off_and_name_the_old_primary_do_not_hide_the_new_one(tmp_path: Path, is_async: bool) -> None:
    """Two of three know nothing of the failover. The old primary is gone first, and is then a replica."""
    with one_redis(tmp_path / "old") as old, one_redis(tmp_path / "new") as new:

        def sentinels(ports: Sequence[int]) -> Sequence[RealNode]:
            folders = [tmp_path / f"sentinel {port}" for port in ports]
            for folder in folders:
                folder.mkdir()
            return [SentinelNode(*each) for each in zip(folders, ports, (old, old, new), strict=True)]

        with started(sentinels, 3) as watching:
            url = f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in watching)}/mymaster/0"
            old.kill()
            with asking(url, is_async=is_async) as ask:
                assert [ask(called(COUNT, b"k"), 10 * TIMEOUT) for _ in range(3)] == [1, 2, 3]
            old.start()
            old.follow(new)
            with asking(url, is_async=is_async) as ask:
                assert [ask(called(COUNT, b"k"), 10 * TIMEOUT) for _ in range(3)] == [4, 5, 6]


# --- how it connects


@both
@pytest.mark.parametrize("live", [True, False], ids=["the second answers", "none answers"])
def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    own_redis: RealNode, monkeypatch: pytest.MonkeyPatch, live: bool, is_async: bool
) -> None:
    """A listener whose queue is full takes no connection, as a machine that is off does not."""
    asked: list[str] = []
    addresses = ["127.0.0.2", "127.0.0.1" if live else "127.0.0.2"]
    real = socket.getaddrinfo

    def found(host: Any, port: Any, *others: Any, **more: Any) -> Any:
        if host not in ("redis.test", b"redis.test"):
            return real(host, port, *others, **more)
        asked.append("redis.test")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in addresses]

    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.2", own_redis.port), backlog=0))
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(silent.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", found)
        with asking(f"redis://redis.test:{own_redis.port}", is_async=is_async) as ask:
            if live:
                assert [ask(called(COUNT, b"k"), 2 * TIMEOUT) for _ in range(2)] == [1, 2]
            else:
                with pytest.raises(BackendUnavailable, match=f"^no connection to Redis at redis.test:{own_redis.port} within 0.3 s$"):
                    ask(called(COUNT, b"k"), SHORT)
    assert asked


@both
def test_a_name_is_verified_by_the_certificate_whichever_address_answers(tmp_path: Path, is_async: bool) -> None:
    public, private = certificate(tmp_path, "localhost")
    port = free_port()
    files = ["--tls-cert-file", str(public), "--tls-key-file", str(private), "--tls-ca-cert-file", str(public), "--tls-auth-clients", "no"]
    with (
        one_redis(tmp_path, "--tls-port", str(port), *files),
        asking(f"rediss://localhost:{port}/0?ssl_ca_certs={public}", is_async=is_async) as ask,
    ):
        assert ask(called(COUNT, b"k"), 10 * TIMEOUT) == 1


@both
def test_a_database_that_the_server_does_not_have_is_named(own_redis: RealNode, is_async: bool) -> None:
    with (
        asking(own_redis.url.removesuffix("/0") + "/99", is_async=is_async) as ask,
        pytest.raises(BackendUnavailable, match="DB index is out of range"),
    ):
        ask(called(COUNT, b"k"))


@both
def test_a_password_is_needed_and_never_shown(tmp_path: Path, is_async: bool) -> None:
    with one_redis(tmp_path) as node:
        node.client.config_set("requirepass", "right&secret")
        with asking(f"redis://:right%26secret@127.0.0.1:{node.port}", is_async=is_async) as ask:
            assert ask(called(COUNT, b"k")) == 1
        for wrong in (f"redis://:wrongsecret@127.0.0.1:{node.port}", node.url):
            with asking(wrong, is_async=is_async) as ask, pytest.raises(BackendUnavailable) as failed:
                ask(called(COUNT, b"k"))
            assert not isinstance(failed.value, OutcomeUnknown)
            assert wrong != node.url or "it refuses the user or the password, NOAUTH" in str(failed.value)
            assert "secret" not in "".join(map(str, [failed.value, failed.value.__cause__, failed.value.__context__]))


@both
def test_a_unix_socket_is_one_more_way(tmp_path: Path, is_async: bool) -> None:
    path = tmp_path / "redis.sock"
    with one_redis(tmp_path, "--unixsocket", str(path)), asking(f"unix://{path}", is_async=is_async) as ask:
        assert [ask(called(COUNT, b"k")) for _ in range(3)] == [1, 2, 3]


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[RealNode, int, Path]]:
    """A server that speaks TLS on a second port, whose certificate signs itself."""
    public, private = certificate(tmp_path, "127.0.0.1")
    port = free_port()
    files = ["--tls-cert-file", str(public), "--tls-key-file", str(private), "--tls-ca-cert-file", str(public), "--tls-auth-clients", "no"]
    with one_redis(tmp_path, "--tls-port", str(port), *files) as node:
        yield node, port, public


@both
def test_the_certificate_of_a_server_is_verified(tls: tuple[RealNode, int, Path], is_async: bool) -> None:
    node, port, public = tls
    trusted = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={public}"
    with asking(trusted, is_async=is_async) as ask:
        assert [ask(called(COUNT, b"k"), 10 * TIMEOUT) for _ in range(20)] == list(range(1, 21))
    for refused in (f"rediss://127.0.0.1:{port}/0", trusted.replace("//127.0.0.1", "//localhost")):
        with asking(refused, is_async=is_async) as ask, pytest.raises(BackendUnavailable, match=r"(?i)certificate"):
            ask(called(COUNT, b"k"), 10 * TIMEOUT)
    assert node.client.get("k") == b"20"
