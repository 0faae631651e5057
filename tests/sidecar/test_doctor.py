"""The doctor: what it says of applications, backends and configurations that are right, odd or broken."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sessionward.backends.sql import SQLBackend
from sessionward.cli import main
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.doctor.finding import error
from sessionward.sidecar.doctor.run import doctor

SECRET = "a secret of the tests, long enough: 0123456789"
OK = b"HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: 2\r\n\r\nhi"
BARE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
MISSING = "note    backend: answers, and our tables are missing; serve creates them at its start, if this user may"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


class Server:
    """An application that answers each request as a function of its head says: bytes, and whether to close then."""

    def __init__(self, answer: Callable[[bytes], tuple[bytes, bool]], context: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.heads: list[bytes] = []
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                data = b""
                while True:
                    while b"\r\n\r\n" not in data:
                        more = connection.recv(65_536)
                        if not more:
                            return
                        data += more
                    head, _, data = data.partition(b"\r\n\r\n")
                    self.heads.append(head)
                    answer, ends = self._answer(head)
                    connection.sendall(answer)
                    if ends:
                        return

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for what a server may still do for a moment only, where the test is not about it."""
    monkeypatch.setattr("sessionward.sidecar.doctor.upstream.AFTER_IDLE", 0.1)


@contextmanager
def serving(answer: Callable[[bytes], tuple[bytes, bool]], context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(answer, context)
    try:
        yield server
    finally:
        server.close()


def said(flags: Mapping[str, Any], environment: Mapping[str, str] = {}) -> tuple[list[str], int]:
    lines: list[str] = []
    code = doctor(configure("serve", {"backend": "memory", "secret": [SECRET], "login-path": "/login", **flags}, environment), lines.append)
    return lines, code


def of(part: str, lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line[8:].startswith(f"{part}:")]


def replies(head: bytes = BARE, get: bytes = OK, upgrade: bytes = OK, *, ends: bool = False) -> Callable[[bytes], tuple[bytes, bool]]:
    return lambda asked: (head if asked.startswith(b"HEAD") else upgrade if b"h2c" in asked else get, ends)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
APPLICATIONS: dict[str, tuple[Callable[[bytes], tuple[bytes, bool]], Sequence[str]]] = {
    "that is right": (
        replies(),
        [
            "ok      upstream: answers GET / with 200",
            "ok      keep-alive: keeps an idle connection open",
            "ok      HEAD: answers HEAD / with 200",
            "ok      h2c: ignores",
            "ok      bypass:",
        ],
    ),
    "with a chunked answer after a hint": (
        replies(get=EARLY + CHUNKED),
        ["ok      upstream: answers GET / with 200", "ok      keep-alive: keeps"],
    ),
    "whose answer ends with the connection": (
        replies(get=b"HTTP/1.1 200 OK\r\n\r\nhi", ends=True),
        ["ok      upstream: answers GET / with 200", "ok      keep-alive: closes after each answer and says so"],
    ),
    "that closes and says so": (
        replies(get=OK.replace(b"Server: test", b"Connection: close"), ends=True),
        ["ok      keep-alive: closes after each answer and says so"],
    ),
    "of HTTP/1.0": (replies(get=OK.replace(b"1.1", b"1.0"), ends=True), ["ok      keep-alive: closes after each answer and says so"]),
    "that closes without a word": (
        replies(ends=True),
        ["warning keep-alive: closes an idle connection after 0.0 s without a word; a POST may"],
    ),
    "that sends more than its answer": (replies(get=OK + OK), ["warning keep-alive: sends bytes behind the end of its answer"]),
    "that sends the body of a HEAD": (replies(head=OK), ["note    HEAD: sends a body in answer to HEAD"]),
    "that speaks h2c": (replies(upgrade=SWITCH), ["note    h2c: switches to HTTP/2 on Upgrade: h2c"]),
    "that fails": (replies(get=OK.replace(b"200 OK", b"500 Oops")), ["warning upstream: answers GET / with 500"]),
    "that refuses its host": (
        replies(get=OK.replace(b"200 OK", b"400 Bad")),
        ["warning upstream: answers GET / with 400", "set public-origin"],
    ),
    "that speaks something else": (
        replies(get=b"SSH-2.0-x\r\n\r\n"),
        ["error   upstream: does not speak HTTP: the answer has no status line"],
    ),
    "whose head has no colon": (
        replies(get=b"HTTP/1.1 200 OK\r\nx\r\n\r\n"),
        ["error   upstream: does not speak HTTP: a line of its head"],
    ),
    "with two lengths": (
        replies(get=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi"),
        ["error   upstream: does not speak HTTP: its Content-Length"],
    ),
    "with a broken chunk": (
        replies(get=CHUNKED.replace(b"2\r\n", b"x\r\n")),
        ["error   upstream: does not speak HTTP: a chunk of its body"],
    ),
    "that breaks off": (
        replies(get=OK[:-1], ends=True),
        ["error   upstream: does not speak HTTP: the connection ends in the middle of a body"],
    ),
    "whose head has no end": (
        replies(get=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 140_000),
        ["error   upstream: does not speak HTTP: its head is too long"],
    ),
    "whose chunk has no end": (
        replies(get=CHUNKED.replace(b"2\r\n", b"fffffff\r\n", 1)),
        ["error   upstream: does not speak HTTP: its body is longer than 64 MiB"],
    ),
    "with trailers": (
        replies(get=CHUNKED[:-2] + b"X-Sum: 1\r\n\r\n"),
        ["ok      upstream: answers GET / with 200", "ok      keep-alive: keeps an idle connection open"],
    ),
    "that breaks off in its head": (
        replies(get=OK[:20], ends=True),
        ["error   upstream: does not speak HTTP: the connection ends in the middle of an answer"],
    ),
    "that says nothing": (replies(get=b"", ends=True), ["error   upstream: does not speak HTTP: the connection ends without an answer"]),
}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(("answer", "lines"), APPLICATIONS.values(), ids=APPLICATIONS)
def test_an_application(answer: Callable[[bytes], tuple[bytes, bool]], lines: Sequence[str]) -> None:
    with serving(answer) as server:
        found, code = said({"upstream": f"http://127.0.0.1:{server.port}", "upstream-idle-timeout": "0.2"})
    for line in lines:
        assert any(line in each for each in found), found
    levels = {line[:8].strip() for line in found}
    assert code == (2 if "error" in levels else 1 if "warning" in levels else 0)
    assert all(head.startswith((b"GET / HTTP/1.1\r\n", b"HEAD / HTTP/1.1\r\n")) for head in server.heads), "it only reads"


class Impatient(Server):
    """It closes a connection that has been idle for 0.6 seconds."""

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(0.6)
        super()._serve(connection)


IDLE = {
    "longer than we keep it": ({"upstream-idle-timeout": "5"}, "warning keep-alive: closes an idle connection after"),
    "shorter than we keep it": ({"upstream-idle-timeout": "0.2"}, "ok      keep-alive: closes an idle connection after"),
    "never reused": ({"upstream-idle-timeout": "5", "upstream-keepalive": "off"}, "ok      keep-alive: closes an idle connection after"),
}


@pytest.mark.parametrize(("flags", "line"), IDLE.values(), ids=IDLE)
def test_an_application_that_closes_an_idle_connection(flags: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionward.sidecar.doctor.upstream.AFTER_IDLE", 30.0)
    server = Impatient(replies())
    try:
        found, _ = said({"upstream": f"http://127.0.0.1:{server.port}", **flags})
    finally:
        server.close()
    assert any(each.startswith(line) for each in found), found


def test_a_body_that_ends_with_the_connection_is_read_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionward.sidecar.doctor.exchange.MAX_BODY", 100_000)
    with serving(replies(get=b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 400_000, ends=True)) as server:
        found, code = said({"upstream": f"http://127.0.0.1:{server.port}"})
    assert any("does not speak HTTP: its body is longer than" in line for line in found), found
    assert code == 2


def test_an_application_that_does_not_answer_in_time() -> None:
    with serving(replies(get=b"")) as server:
        found, code = said({"upstream": f"http://127.0.0.1:{server.port}", "response-timeout": "0.2"})
    assert "error   upstream: no answer to GET / in 0.2 s; see what the application waits for" in found
    assert code == 2


def test_an_application_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found, code = said({"upstream": f"http://127.0.0.1:{port}"})
    assert (
        f"error   upstream: 127.0.0.1:{port} cannot be reached: Connection refused; start the application, or correct the address" in found
    )
    assert code == 2


def test_a_name_that_does_not_resolve() -> None:
    found, code = said({"upstream": "http://no-such-host.invalid:80"})
    assert of("upstream", found)[0].startswith("error   upstream: no-such-host.invalid does not resolve: ")
    assert code == 2


def test_an_application_on_a_socket(tmp_path: Path) -> None:
    place = f"unix:{tmp_path}/none.sock"
    found, code = said({"upstream": place})
    assert of("upstream", found) == [
        f"error   upstream: {place} cannot be reached: No such file or directory; start the application, or correct the address"
    ]
    assert code == 2


def test_an_application_elsewhere_may_be_reachable_past_us() -> None:
    from sessionward.sidecar.config.addresses import Upstream
    from sessionward.sidecar.doctor.upstream import reachable_past_us

    assert str(reachable_past_us(Upstream.parse("http://10.0.0.1:80"))).startswith("note    bypass: whether clients can reach")


# --- TLS --------------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, days: float) -> tuple[Path, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "tls.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


CERTIFICATES: dict[str, tuple[str, float, bool, str]] = {
    "a good one": (
        "localhost",
        90.5,
        True,
        "ok      upstream TLS: the certificate for localhost is verified and expires in 90 days (TLSv1.3)",
    ),
    "one that expires soon": (
        "localhost",
        4.2,
        True,
        "warning upstream TLS: the certificate for localhost is verified and expires in 4 days",
    ),
    "one that has expired": ("localhost", -1, True, "error   upstream TLS: certificate has expired"),
    "one of another name": ("other.example", 90, True, "error   upstream TLS: Hostname mismatch"),
    "one that no authority has signed": ("localhost", 90, False, "error   upstream TLS: self-signed certificate; set upstream-ca-file"),
}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(("name", "days", "trusted", "line"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_a_certificate(name: str, days: float, trusted: bool, line: str, tmp_path: Path) -> None:
    file, context = certificate(tmp_path, name, days)
    with serving(replies(), context) as server:
        flags = {"upstream": f"https://localhost:{server.port}", "upstream-idle-timeout": "0.1"}
        found, code = said({**flags, **({"upstream-ca-file": str(file)} if trusted else {})})
    assert any(each.startswith(line) for each in found), found
    assert any("answers GET / with 200" in each for each in found) is (code < 2)


def test_an_application_without_tls_where_it_is_expected() -> None:
    with serving(replies()) as server:
        found, code = said({"upstream": f"https://127.0.0.1:{server.port}", "connect-timeout": "0.5"})
    assert of("upstream TLS", found)[0].startswith("error   upstream TLS: no handshake: ")
    assert code == 2


def test_tls_files_that_are_no_certificates() -> None:
    with serving(replies()) as server:
        found, _ = said({"upstream": f"https://127.0.0.1:{server.port}", "upstream-ca-file": __file__})
    assert of("upstream TLS", found)[0].startswith("error   upstream TLS: its files cannot be used: ")


# --- the backend ------------------------------------------------------------------------------------------------------

NOWHERE = {"upstream": "unix:/nowhere.sock"}


def test_a_database_file_that_does_not_exist_is_not_created(tmp_path: Path) -> None:
    found, _ = said({**NOWHERE, "backend": f"sqlite:///{tmp_path}/a.db"})
    assert of("backend", found) == [f"note    backend: {tmp_path}/a.db does not exist yet; serve creates it, unless create-tables is off"]
    assert list(tmp_path.iterdir()) == []
    found, _ = said({**NOWHERE, "backend": f"sqlite:///{tmp_path}/a.db", "login-path": ""})
    assert of("sign-in", found)[0].startswith("warning sign-in: no login-path is set")
    assert list(tmp_path.iterdir()) == []
    found, code = said({**NOWHERE, "backend": "sqlite:////nowhere/a.db"})
    assert of("backend", found)[0].startswith("error   backend: /nowhere/a.db does not exist and its folder is not writable")
    assert code == 2


def test_tables_that_are_missing_are_not_created(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE of_the_application (a)")
    flags = {**NOWHERE, "backend": f"sqlite:///{file}"}
    assert of("backend", said(flags)[0]) == [MISSING]
    found, code = said({**flags, "create-tables": "false"})
    assert of("backend", found)[0].startswith("error   backend: answers, and our tables are missing; start once with create-tables")
    assert code == 2
    with closing(sqlite3.connect(file)) as connection:
        assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master")] == ["of_the_application"]


def test_a_database_that_is_ready_says_whether_a_revocation_lasts(empty_postgresql_url: str, mariadb_url: str) -> None:
    found, _ = said({**NOWHERE, "backend": empty_postgresql_url})
    assert of("backend", found) == [MISSING]
    for url in (empty_postgresql_url, mariadb_url):
        (line,) = of("durability", said({**NOWHERE, "backend": url})[0])
        assert "a revocation survives a crash" in line or "a revocation may be lost" in line


def test_a_database_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found, code = said({**NOWHERE, "backend": f"postgresql://u:hunter2@127.0.0.1:{port}/d"})
    assert of("backend", found)[0].startswith("error   backend: does not answer: ")
    assert of("backend", found)[0].endswith("; see that the database runs, and that user, password, host and database are right")
    assert of("durability", found) == [], "what cannot be reached is one finding"
    assert "hunter2" not in "".join(found)
    assert code == 2


def test_a_database_whose_name_is_wrong_is_not_one_without_our_tables(empty_postgresql_url: str) -> None:
    place, _, _ = empty_postgresql_url.partition("?")
    found, code = said({**NOWHERE, "backend": f"{place.rpartition('/')[0]}/sessionward_nowhere"})
    (line,) = of("backend", found)
    assert line.startswith("error   backend: does not answer: ")
    assert 'database "sessionward_nowhere" does not exist; see that' in line
    assert (of("durability", found), code) == ([], 2)


@pytest.mark.parametrize("end", [".", "?", "?.", ""])
def test_a_sentence_of_a_driver_ends_before_the_way_out(end: str) -> None:
    assert str(error("backend", f"is it up (port 6399){end}", "see")) == "error   backend: is it up (port 6399); see"


class Sync:
    """A backend without a loop, over the application's own sessions."""

    blocking = True

    def find(self, credential: object, /) -> None: ...

    def revoke_others(self, session: object, /) -> int:
        return 0


LONGER = (
    "note    lease: a revocation takes {} s: another worker has this lease, or had it within the last hour;"
    " sessionward lease shows and lowers it"
)


@pytest.mark.parametrize(
    ("kept", "wanted", "lines"),
    [
        ([], {}, []),
        ([1.5], {"lease": "1.5"}, ["ok      lease: 1.5 s, as in the backend: a revocation takes as long"]),
        ([], {"lease": "2"}, ["note    lease: the backend keeps 0 s; the first request raises it to 2 s"]),
        (
            [3.0],
            {"lease": "1"},
            [LONGER.format(3)],
        ),
        (
            [4.0, 1.0],
            {},
            [LONGER.format(4)],
        ),
    ],
    ids=["none", "equal", "longer than in the backend", "shorter", "lowered"],
)
def test_the_lease_is_compared_with_that_of_the_backend(
    kept: Sequence[float], wanted: Mapping[str, str], lines: Sequence[str], tmp_path: Path
) -> None:
    backend = SQLBackend(f"sqlite:///{tmp_path}/a.db")
    backend.create_tables()
    for seconds in kept:
        backend.set_lease(seconds)
    backend.close()
    found, _ = said({**NOWHERE, "backend": f"sqlite:///{tmp_path}/a.db", **wanted})
    assert of("lease", found) == lines


@pytest.mark.parametrize(
    ("backend", "line"),
    [
        (f"{__name__}:Sync", "error   lease: Sync keeps no lease, so every request asks it; leave lease out"),
        ("memory", "note    lease: MemoryBackend is asked by every request, since it never waits; leave lease out"),
    ],
    ids=["waits", "memory"],
)
def test_a_backend_that_keeps_no_lease(backend: str, line: str) -> None:
    found, _ = said({**NOWHERE, "backend": backend, "lease": "1"})
    assert of("lease", found) == [line]


def test_a_backend_over_the_own_sessions_of_an_application_needs_no_login_path() -> None:
    found, _ = said({**NOWHERE, "backend": f"{__name__}:Sync", "login-path": ""})
    assert of("backend", found)[0].startswith("ok      backend: answers in ")
    assert of("sign-in", found) == []


def test_a_backend_that_cannot_be_made_hides_nothing_else() -> None:
    found, code = said({**NOWHERE, "backend": "nowhere_at_all:x"})
    assert of("backend", found) == ["error   backend: No module named 'nowhere_at_all'"]
    assert of("upstream", found)
    assert code == 2


def test_who_signs_users_in_is_said(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET[::-1])
    companion = {"identify": "jwt", "identify-secret-file": str(key), "identify-cookie": "at"}
    assert of("sign-in", said({**NOWHERE, "login-path": ""})[0])[0].startswith("warning sign-in: no login-path is set")
    assert of("sign-in", said(NOWHERE)[0]) == ["ok      sign-in: the application can sign users in on /login, and nowhere else"]
    found, _ = said({**NOWHERE, **companion})
    assert of("sign-in", found) == ["ok      sign-in: a browser whose login jwt reads gets a companion session"]
    assert of("identify", found)[0].startswith("ok      identify: jwt reads at, and does not believe a login that was made up")
    assert of("identify-secret-file", found) == [f"ok      identify-secret-file: other users cannot read {key}"]


def test_an_identifier_that_cannot_ask_its_store_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[identify]\nkind = "redis"\nurl = "redis://127.0.0.1:1/0"\nkey = "{value}"\nformat = "string"\ncookie = "sid"\n')
    found, code = said({**NOWHERE, "config": str(file)})
    assert of("identify", found)[0].startswith("error   identify: redis cannot read a login: ")
    assert code == 2


def test_an_identifier_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    found, _ = said({**NOWHERE, "identify": "jwt"})
    assert "error   identify: JWT needs key: identify-secret" in found


# --- the configuration ------------------------------------------------------------------------------------------------


def test_descriptors_are_held_against_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(hard: int, **flags: str) -> list[str]:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (256, hard))
        return of("max-connections", said({**NOWHERE, **{name.replace("_", "-"): value for name, value in flags.items()}})[0])

    assert lines(30_000) == ["ok      max-connections: the descriptors are enough for 10000 connections in each worker"]
    assert lines(1100)[0].startswith("note    max-connections: 1100 descriptors allow 500 connections in each worker; for 10000 raise")
    assert lines(1100, max_connections="500")[0].startswith("ok      max-connections:")
    assert lines(1100, max_connections="501") == [
        "warning max-connections: 1100 descriptors allow 500 connections in each worker; for 501 raise LimitNOFILE or ulimit -n to 1102"
    ]
    assert lines(resource.RLIM_INFINITY)[0].startswith("ok      max-connections:")


def test_an_address_in_use_may_be_this_sidecar(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found, _ = said({**NOWHERE, "listen": f"127.0.0.1:{taken.getsockname()[1]}", "admin": f"unix:{tmp_path}/admin.sock"})
    assert "is in use; nothing to do if this sidecar is running there" in of("listen", found)[0]
    assert of("admin", found) == [f"ok      admin: unix:{tmp_path}/admin.sock can be made"]
    assert list(tmp_path.iterdir()) == []
    assert of("listen", said({**NOWHERE, "listen": "192.0.2.1:80"})[0])[0].startswith("error   listen: 192.0.2.1:80: ")
    assert of("listen", said({**NOWHERE, "listen": "unix:/nowhere/a.sock"})[0])[0].startswith("error   listen: /nowhere is missing")
    assert of("listen", said({**NOWHERE, "listen": "systemd"})[0])[0].startswith("note    listen: systemd is passed at the start")


def test_what_is_not_safe_in_production_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET)
    monkeypatch.setattr("sessionward.sidecar.doctor.settings.is_public", lambda path, status: True)
    flags = {**NOWHERE, "insecure": "true", "cookie-name": "ward", "listen": "0.0.0.0:0"}
    found, code = said(flags, {"SESSIONWARD_SECRET_FILE": str(key)})
    assert of("insecure", found)[0].startswith("warning insecure: our cookie travels over plain http")
    assert of("trusted-proxy", found)[0].startswith("note    trusted-proxy: none")
    assert of("secret-file", found)[0].startswith(f"warning secret-file: every user in this container can read {key}")
    assert code == 2


@pytest.mark.usefixtures("brief")
def test_the_command_prints_lines_and_its_exit_code_is_the_worst_of_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with serving(replies()) as server:
        arguments = ["doctor", "--upstream", f"http://127.0.0.1:{server.port}", "--backend", "memory", "--secret-file", str(secret)]
        arguments += ["--upstream-idle-timeout", "0.1", "--listen", "127.0.0.1:0"]
        assert main([*arguments, "--login-path", "/login"]) == 0
        assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert {line[:8].strip() for line in printed.out.splitlines()} == {"ok", "note", "warning"}
    assert SECRET not in printed.out
    assert main(["doctor", "--backend", "memory"]) == 2
    assert "upstream: it is needed" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["secret"]


def test_a_check_that_breaks_off_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: 1 / 0)
    found, code = said({**NOWHERE, "listen": "127.0.0.1:8080"})
    assert "error   config: the check broke off: ZeroDivisionError: division by zero" in found
    assert of("upstream", found)
    assert code == 2
