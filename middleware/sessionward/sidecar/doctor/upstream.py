"""What the doctor says of the application: where it is, how it answers, and what it does with its connections."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from sessionward.sidecar.config.addresses import Upstream
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.doctor.exchange import Answer, Broken, ask, closes_within
from sessionward.sidecar.doctor.finding import Finding, error, note, ok, warning

SOON: Final = 14.0
"""Days until a certificate expires, from which on the doctor warns."""
LISTEN: Final = 0.3
"""Seconds in which a server sends what it should not, such as the body of an answer to HEAD."""
AFTER_IDLE: Final = 1.0
"""Seconds beyond our own idle time in which we watch for the server's end."""


def of_upstream(config: Config) -> Iterator[Finding]:
    """Yields what some requests to the application show. It asks GET and HEAD of the path / only."""
    upstream = config.upstream
    if upstream is None:
        return
    try:
        addresses = list(_addresses(upstream))
    except OSError as failed:
        yield error("upstream", f"{upstream.host} does not resolve: {failed.strerror}", "correct the name, or its DNS")
        return
    reached: list[tuple[int, Any]] = []
    for family, place in addresses:
        began = monotonic()
        try:
            with _connected(config, family, place):
                pass
        except OSError as failed:
            said = "no answer in time" if isinstance(failed, TimeoutError) else failed.strerror or str(failed)
            finding = warning if len(addresses) > 1 else error
            yield finding("upstream", f"{_shown(place)} cannot be reached: {said}", "start the application, or correct the address")
        else:
            reached.append((family, place))
            yield ok("upstream", f"{_shown(place)} connects in {(monotonic() - began) * 1000:.1f} ms")
    if not reached:
        return
    if upstream.tls:
        certificate = _certificate(config, *reached[0])
        yield certificate
        if certificate.level > 1:
            return
    yield from _talk(config, *reached[0])
    yield reachable_past_us(upstream)


def _addresses(upstream: Upstream) -> Iterator[tuple[int, Any]]:
    if upstream.path:
        yield socket.AF_UNIX, upstream.path
        return
    seen: set[Any] = set()
    for family, _, _, _, place in socket.getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM):
        if place not in seen:
            seen.add(place)
            yield family, place


def _shown(place: Any) -> str:
    return f"unix:{place}" if isinstance(place, str) else f"[{place[0]}]:{place[1]}" if ":" in place[0] else f"{place[0]}:{place[1]}"


def _connected(config: Config, family: int, place: Any) -> socket.socket:
    connection = socket.socket(family)
    connection.settimeout(config.connect_timeout)
    try:
        connection.connect(place)
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(config: Config, family: int, place: Any) -> socket.socket:
    """Returns a connection on which a request can be sent, with TLS where the upstream has it. Raises OSError."""
    connection = _connected(config, family, place)
    upstream = config.upstream
    assert upstream is not None
    if not upstream.tls:
        return connection
    try:
        return _context(config).wrap_socket(connection, server_hostname=config.upstream_server_name or upstream.host)
    except BaseException:
        connection.close()
        raise


def _context(config: Config) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.upstream_ca_file)
    if config.upstream_cert_file is not None:
        context.load_cert_chain(config.upstream_cert_file, config.upstream_key_file)
    return context


def _certificate(config: Config, family: int, place: Any) -> Finding:
    name = config.upstream_server_name or (config.upstream.host if config.upstream else "")
    try:
        _context(config)
    except OSError as failed:
        return error("upstream TLS", f"its files cannot be used: {failed.strerror or failed}", "see that they are PEM and belong together")
    try:
        with _opened(config, family, place) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            until, version = str((connection.getpeercert() or {}).get("notAfter", "")), connection.version()
    except ssl.SSLCertVerificationError as failed:
        return error("upstream TLS", failed.verify_message, "set upstream-ca-file to who signed it, upstream-server-name to its name")
    except OSError as failed:
        return error("upstream TLS", f"no handshake: {failed.strerror or failed}", "see that this port speaks TLS, else take http://")
    days = (ssl.cert_time_to_seconds(until) - datetime.now(UTC).timestamp()) / 86_400
    said = f"the certificate for {name} is verified and expires in {days:.0f} days ({version})"
    return warning("upstream TLS", said, "renew it") if days < SOON else ok("upstream TLS", said)


# --- requests ---------------------------------------------------------------------------------------------------------


def _talk(config: Config, family: int, place: Any) -> Iterator[Finding]:
    try:
        with _opened(config, family, place) as connection:
            began = monotonic()
            answer = ask(connection, _host(config), timeout=config.response_timeout)
            yield _answered(answer, monotonic() - began)
            yield _kept(config, connection, answer)
        with _opened(config, family, place) as connection:
            yield _head(connection, config)
        with _opened(config, family, place) as connection:
            yield _upgrade(connection, config)
    except Broken as failed:
        yield error(
            "upstream", f"does not speak HTTP: {failed}", "see that this is the application's own port, and that it speaks HTTP/1.1"
        )
    except TimeoutError:
        yield error("upstream", f"no answer to GET / in {config.response_timeout:g} s", "see what the application waits for")
    except OSError as failed:
        yield error("upstream", f"closes the connection: {failed.strerror or failed}", "see the application's log")


def _host(config: Config) -> str:
    origin: str = config.settings.get("public_origin", "")
    return origin.partition("://")[2] or str(config.upstream).partition("//")[2] or "localhost"


def _answered(answer: Answer, took: float) -> Finding:
    said = f"answers GET / with {answer.status} in {took * 1000:.0f} ms ({answer.version}{_server(answer)})"
    if answer.status == 400:
        return warning("upstream", said, "it may refuse the name of its host: set public-origin, or allow the host in the application")
    return warning("upstream", said, "see the application's log") if answer.status >= 500 else ok("upstream", said)


def _server(answer: Answer) -> str:
    server = answer.header("server")
    return f", {server}" if server and server.isprintable() else ""


def _kept(config: Config, connection: socket.socket, answer: Answer) -> Finding:
    """Says what becomes of the connection after an answer. A server that closes without a word loses requests."""
    if answer.closes:
        return ok("keep-alive", "closes after each answer and says so, so each request gets a connection of its own")
    idle = config.upstream_idle_timeout
    closed_after, more = (None, answer.more) if answer.more else closes_within(connection, idle + AFTER_IDLE)
    if more:
        return warning(
            "keep-alive", "sends bytes behind the end of its answer", "set upstream-keepalive off, and tell the server's authors"
        )
    if closed_after is None:
        return ok("keep-alive", f"keeps an idle connection open for longer than upstream-idle-timeout ({idle:g} s)")
    said = f"closes an idle connection after {closed_after:.1f} s without a word"
    if not config.upstream_keepalive:
        return ok("keep-alive", f"{said}, and upstream-keepalive is off, so no request meets it")
    if closed_after < 0.05:
        return warning(
            "keep-alive", said, "a POST may meet the end of its connection: set upstream-keepalive off, or keep-alive on in the server"
        )
    if closed_after <= idle:
        return warning("keep-alive", said, f"set upstream-idle-timeout below it, such as {closed_after / 2:.1f}")
    return ok("keep-alive", f"{said}, later than upstream-idle-timeout ({idle:g} s)")


def _head(connection: socket.socket, config: Config) -> Finding:
    answer = ask(connection, _host(config), method="HEAD", timeout=config.response_timeout)
    _, more = (None, answer.more) if answer.more else closes_within(connection, LISTEN)
    if more:
        return note(
            "HEAD",
            "sends a body in answer to HEAD, which another proxy could take for the next answer",
            "we never reuse a connection after HEAD",
        )
    return ok("HEAD", f"answers HEAD / with {answer.status} and without a body")


def _upgrade(connection: socket.socket, config: Config) -> Finding:
    fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    answer = ask(connection, _host(config), fields=fields, timeout=config.response_timeout)
    if answer.status == 101:
        return note(
            "h2c",
            "switches to HTTP/2 on Upgrade: h2c, where no proxy can check the requests",
            "we never pass this upgrade on; no other way to it may either",
        )
    return ok("h2c", "ignores Upgrade: h2c")


def reachable_past_us(upstream: Upstream) -> Finding:
    """Returns what can be said about other ways to the application. No request can show that there are none."""
    if upstream.path or upstream.host in ("localhost", "::1") or upstream.host.startswith("127."):
        return ok("bypass", "the application is on an address of this machine only; see that it listens on no other")
    return note(
        "bypass",
        "whether clients can reach the application past us cannot be seen from here",
        "let a firewall or a network policy admit only this sidecar, since the application believes X-Session-User",
    )
