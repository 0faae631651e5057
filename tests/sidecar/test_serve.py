"""The sidecar as a process: it starts, serves in several workers, drains, and ends with the code that it promises."""

from __future__ import annotations

import datetime
import http.client
import http.server
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.sidecar.processes import Client, Shop, children, shop, sidecar, until
from tests.support.servers import free_port


@pytest.fixture
def application() -> Iterator[Shop]:
    with shop() as server:
        yield server


def readyz(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_command_of_the_readme_serves_an_application_and_revokes_the_other_sessions(tmp_path: Path, application: Shop) -> None:
    with sidecar(tmp_path, application.url) as server, Client(server.port) as laptop, Client(server.port) as phone:
        assert laptop.ask("/") == (200, b"nobody")
        for device in (laptop, phone):
            assert device.ask("/in/ann%40example.com") == (200, b"welcome")
            assert device.ask("/") == (200, b"ann@example.com")
        assert laptop.ask("/auth/sessions", "DELETE") == (200, b'{"count": 1}')
        assert phone.ask("/") == (200, b"nobody")
        assert laptop.ask("/") == (200, b"ann@example.com")
        assert laptop.ask("/auth/session", "DELETE")[0] == 501  # a typing error is the application's to answer
    assert "Traceback" not in server.printed()


def test_two_workers_serve_an_application_over_redis(tmp_path: Path, application: Shop, redis_url: str) -> None:
    prefix = f"serve-{uuid4().hex[:12]}"
    backend = f"{redis_url}?prefix={prefix}"
    with sidecar(tmp_path, application.url, "--workers", "2", backend=backend) as server, Client(server.port) as laptop:
        assert laptop.ask("/in/ann") == (200, b"welcome")
        others = [Client(server.port) for _ in range(4)]
        for device in others:
            device.ask("/in/ann")
        assert laptop.ask("/auth/sessions", "DELETE") == (200, b'{"count": 4}')
        for device in others:
            assert device.ask("/") == (200, b"nobody")
            device.close()
        assert laptop.ask("/") == (200, b"ann")
    assert "Traceback" not in server.printed()
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"{prefix}:s", *client.scan_iter(f"{prefix}:*", count=1_000))


def test_what_one_worker_revokes_is_revoked_in_all_and_a_worker_that_dies_is_replaced(tmp_path: Path, application: Shop) -> None:
    with sidecar(tmp_path, application.url, "--workers", "2") as server:
        with Client(server.port) as laptop:
            laptop.ask("/in/ann")
            others = [Client(server.port) for _ in range(6)]
            for device in others:
                device.ask("/in/ann")
            assert laptop.ask("/auth/sessions", "DELETE") == (200, b'{"count": 6}')
            for device in others:
                assert device.ask("/") == (200, b"nobody")
                device.close()
        workers = children(server.process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: len(children(server.process.pid)) == 2 and workers[0] not in children(server.process.pid))
        for _ in range(4):
            with Client(server.port) as somebody:
                assert somebody.ask("/") == (200, b"nobody")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_one_signal_to_the_whole_group_is_one_signal_and_workers_without_a_parent_end(tmp_path: Path, application: Shop) -> None:
    with sidecar(tmp_path, application.url, "--workers", "2", "--drain-delay", "9") as server, Client(server.port) as client:
        outcome: list[object] = []
        asking = threading.Thread(target=_outcome, args=(client, "/slow", outcome))
        asking.start()
        application.reached.wait(10)
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does
        until(lambda: "draining: 0 s" in server.printed())
        application.opened.set()
        asking.join()
        assert outcome == [(200, b"slow")]
        assert "Traceback" not in server.printed()
        assert server.process.wait(20) == 0
    with sidecar(tmp_path, application.url, "--workers", "2") as server:
        until(lambda: len(children(server.process.pid)) == 2)
        workers = children(server.process.pid)
        server.process.kill()
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_during_the_notice_each_response_closes_its_connection(tmp_path: Path, application: Shop) -> None:
    """A connection that was kept is closed at the end of the notice, perhaps under a request that is on its way."""
    admin = free_port()
    with sidecar(tmp_path, application.url, "--admin", f"127.0.0.1:{admin}", "--drain-delay", "5") as server, Client(server.port) as client:
        assert client.ask("/") == (200, b"nobody")
        assert client.headers.get("Connection") is None
        server.process.send_signal(signal.SIGTERM)
        until(lambda: readyz(admin) == 503)
        assert client.ask("/") == (200, b"nobody")
        assert client.headers["Connection"] == "close"
        server.process.send_signal(signal.SIGTERM)


def test_it_drains_readyz_first_and_no_request_fails(tmp_path: Path, application: Shop) -> None:
    admin = free_port()
    with sidecar(tmp_path, application.url, "--admin", f"127.0.0.1:{admin}", "--drain-delay", "0.6") as server:
        failed: list[object] = []
        answered = [0] * 8
        stream = Client(server.port)
        streamed: list[tuple[int, bytes]] = []
        streaming = threading.Thread(target=lambda: streamed.append(stream.ask("/events")))
        streaming.start()
        application.reached.wait(10)

        def keeps_asking(number: int) -> None:
            try:
                while True:
                    with Client(server.port) as client:
                        while client_goes_on(client):
                            answered[number] += 1
                        if readyz(admin) == 503:  # a balancer sends nobody here any more
                            return
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)

        def client_goes_on(client: Client) -> bool:
            status, body = client.ask("/")
            if (status, body) != (200, b"nobody"):
                failed.append((status, body))
            return client.headers.get("Connection") != "close"

        busy = [threading.Thread(target=keeps_asking, args=(number,)) for number in range(8)]
        for thread in busy:
            thread.start()
        until(lambda: min(answered) > 20)
        assert readyz(admin) == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: readyz(admin) == 503)
        for thread in busy:
            thread.join()
        assert failed == []
        application.opened.set()
        streaming.join()
        assert streamed == [(200, b"firstlast")]
        stream.close()
        assert server.process.wait(20) == 0


def test_a_second_signal_cuts_what_is_under_way(tmp_path: Path, application: Shop) -> None:
    with sidecar(tmp_path, application.url, "--drain-delay", "0") as server, Client(server.port) as client:
        outcome: list[object] = []
        asking = threading.Thread(target=_outcome, args=(client, "/slow", outcome))
        asking.start()
        application.reached.wait(10)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in server.printed())
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 128 + signal.SIGTERM
        asking.join()
        assert "cut 1 requests" in server.printed()
        assert "Traceback" not in server.printed()
        assert isinstance(outcome[0], (OSError, http.client.HTTPException))


def _outcome(client: Client, target: str, outcome: list[object]) -> None:
    try:
        outcome.append(client.ask(target))
    except (OSError, http.client.HTTPException) as error:
        outcome.append(error)


def test_the_time_limit_cuts_too(tmp_path: Path, application: Shop) -> None:
    with sidecar(tmp_path, application.url, "--drain-delay", "0", "--drain-timeout", "0.3") as server, Client(server.port) as client:
        outcome: list[object] = []
        asking = threading.Thread(target=_outcome, args=(client, "/events", outcome))
        asking.start()
        application.reached.wait(10)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 128 + signal.SIGINT
        asking.join()
        assert "Traceback" not in server.printed()
        assert isinstance(outcome[0], (OSError, http.client.HTTPException))


def test_the_access_log_is_opened_anew(tmp_path: Path, application: Shop) -> None:
    log = tmp_path / "access.log"
    with sidecar(tmp_path, application.url, "--access-log", str(log)) as server, Client(server.port) as client:
        client.ask("/first?token=secret")
        until(lambda: log.exists() and log.read_text().count("\n") == 1)
        log.rename(tmp_path / "old.log")
        server.process.send_signal(signal.SIGUSR1)
        until(log.exists)
        client.ask("/second")
        until(lambda: log.read_text().count("\n") == 1)
        first, second = (json.loads(path.read_text()) for path in (tmp_path / "old.log", log))
        assert (first["path"], second["path"]) == ("/first", "/second")
        assert (first["status"], first["method"], first["result"], first["bytes"]) == (200, "GET", "passed", 6)
        assert "secret" not in (tmp_path / "old.log").read_text()


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    near, far = tmp_path / "near.sock", tmp_path / "far.sock"
    with shop(far), sidecar(tmp_path, f"unix:{far}", "--admin", f"unix:{near}?mode=660") as server, Client(server.port) as client:
        assert client.ask("/in/ann") == (200, b"welcome")
        assert client.ask("/") == (200, b"ann")
        assert near.stat().st_mode & 0o777 == 0o660
        with Client(0, near) as admin:
            assert admin.ask("/livez") == (200, b'{"alive":true}')
    assert not near.exists()


def test_a_socket_file_that_nobody_listens_on_is_replaced_and_nothing_else_is(tmp_path: Path, application: Shop) -> None:
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as before:
        before.bind(str(left))
    with sidecar(tmp_path, application.url, "--admin", f"unix:{left}"), Client(0, left) as admin:
        assert admin.ask("/livez")[0] == 200
    precious = tmp_path / "precious"
    precious.write_text("data")
    done = run(tmp_path, application.url, "--listen", f"unix:{precious}")
    assert done.returncode == 3
    assert "is no socket" in done.stderr
    assert precious.read_text() == "data"


def run(folder: Path, upstream: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["serve", "--upstream", upstream, "--backend", f"sqlite:///{folder}/sessions.db", *arguments]
    import sys

    return subprocess.run([sys.executable, "-m", "sessionward", *command], capture_output=True, text=True, timeout=60, check=False)


def test_an_address_that_is_taken_is_code_3_and_a_backend_that_fails_is_code_4(tmp_path: Path, application: Shop) -> None:
    taken = application.url.removeprefix("http://")
    done = run(tmp_path, "http://127.0.0.1:1", "--listen", taken)
    assert done.returncode == 3
    assert f"cannot listen on {taken}" in done.stderr
    done = run(tmp_path / "nowhere", application.url, "--listen", f"127.0.0.1:{free_port()}")
    assert done.returncode == 4
    assert done.stderr.count("the backend cannot be used: ") == 1
    assert "Traceback" not in done.stderr


NO_START = {
    "no tables": ("sqlite:///{}/none.db", "our tables are missing; start once with create-tables, or create them by a migration"),
    "a Redis that is down": ("redis://127.0.0.1:1/0", "no connection to Redis at 127.0.0.1:1: "),
    "a PostgreSQL that is down": ("postgresql://u:hunter2@127.0.0.1:1/d", "no connection to PostgreSQL: "),
    "one with an error of its own": ("tests.sidecar.test_serve:Broken", "it failed with builtins.ZeroDivisionError at "),
}


class Broken:
    blocking = True

    def find(self, credential: object, /) -> None:
        _ = 1 / 0

    def revoke_others(self, session: object, /) -> int:
        return 0


@pytest.mark.parametrize(("backend", "said"), NO_START.values(), ids=NO_START)
def test_why_the_backend_cannot_be_used_is_one_line(backend: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "none.db").touch()
    flags = ["--listen", "127.0.0.1:0", "--create-tables", "false", "--backend", backend.format(tmp_path)]
    done = run(tmp_path, "http://127.0.0.1:1", *flags)
    assert done.returncode == 4
    (line,) = [line for line in done.stderr.splitlines() if " ERROR " in line]
    assert line.partition(" ERROR ")[2].startswith(f"the backend cannot be used: {said}")
    assert "create_tables()" not in done.stderr
    assert "hunter2" not in done.stderr


def test_without_a_secret_it_says_what_that_means(tmp_path: Path, application: Shop) -> None:
    done = run(tmp_path, "http://127.0.0.1:1", "--listen", application.url.removeprefix("http://"))
    assert done.returncode == 3
    assert "no secret is given" in done.stderr


# --- TLS to the application -------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, *, days: int = 1) -> tuple[Path, Path]:
    """A certificate that signs itself, for one address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    address: x509.GeneralName
    try:
        address = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        address = x509.DNSName(name)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / f"{name}-{days}.pem", folder / f"{name}-{days}.key"
    public.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return public, private


TRUST = {
    "the right certificate": ("127.0.0.1", 1, ["--upstream-ca-file", "{ca}"], 200),
    "another name that was told": ("app.internal", 1, ["--upstream-ca-file", "{ca}", "--upstream-server-name", "app.internal"], 200),
    "another name": ("app.internal", 1, ["--upstream-ca-file", "{ca}"], 502),
    "an expired one": ("127.0.0.1", -1, ["--upstream-ca-file", "{ca}"], 502),
    "one that nobody trusts": ("127.0.0.1", 1, [], 502),
}


@pytest.mark.parametrize(("name", "days", "arguments", "status"), TRUST.values(), ids=TRUST)
def test_the_applications_certificate_is_verified(tmp_path: Path, name: str, days: int, arguments: list[str], status: int) -> None:
    public, private = certificate(tmp_path, name, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    with shop() as application:
        application.socket = context.wrap_socket(application.socket, server_side=True, do_handshake_on_connect=False)
        url = application.url.replace("http:", "https:")
        given = [argument.format(ca=public) for argument in arguments]
        with sidecar(tmp_path, url, *given) as server, Client(server.port) as client:
            for _ in range(2):
                answer = client.ask("/")
                assert answer[0] == status
            if status == 502:
                assert json.loads(answer[1])["error"]["id"] == "upstream_failed"


def test_a_certificate_of_ours_is_shown_where_the_application_wants_one(tmp_path: Path) -> None:
    public, private = certificate(tmp_path, "127.0.0.1")
    ours, key = certificate(tmp_path, "sidecar.internal")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    context.load_verify_locations(ours)
    context.verify_mode = ssl.CERT_REQUIRED
    with shop() as application:
        application.socket = context.wrap_socket(application.socket, server_side=True, do_handshake_on_connect=False)
        url = application.url.replace("http:", "https:")
        shown = ["--upstream-ca-file", str(public), "--upstream-cert-file", str(ours), "--upstream-key-file", str(key)]
        with sidecar(tmp_path, url, *shown) as server, Client(server.port) as client:
            assert client.ask("/")[0] == 200
        with sidecar(tmp_path, url, *shown[:2]) as server, Client(server.port) as client:
            assert client.ask("/")[0] == 502
