"""Real proxies with what is large, and with an application that signs in a connection."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from sessionward.backends.sql import SQLBackend
from sessionward.sidecar.snippet import snippet
from tests.sidecar.conftest import SWITCHES
from tests.sidecar.engines import App, Engine, engine
from tests.sidecar.town import Town

KILOBYTE: Final = 1024
MEGABYTE: Final = 1024 * KILOBYTE


@pytest.mark.parametrize("size", [7 * KILOBYTE, 15 * KILOBYTE])
@pytest.mark.parametrize("name", [b"Cookie", b"Authorization"], ids=lambda name: name.decode())
def test_large_credentials_of_the_application_pass(town: Town, name: bytes, size: int) -> None:
    value = b"theme=" + b"x" * size if name == b"Cookie" else b"Custom " + b"x" * size
    token = town.login("ann").partition(b"=")[2][:32]
    answer = town.ask(b"/", b"X-Session-Token: " + token, name + b": " + value)
    assert answer.status == 200
    assert answer.values(name.lower()) == [value]
    assert answer.values(b"x-session-user") == [b"ann"]
    assert town.ask(b"/", name + b": " + value).status == 401


def test_an_upload_of_20_megabytes_passes(town: Town) -> None:
    body = bytes(20 * MEGABYTE)
    answer = town.ask(b"/upload", b"Cookie: " + town.login(), b"Content-Length: %d" % len(body), method=b"POST", body=body)
    assert answer.status == 200
    assert answer.values(b"content-length") == [b"%d" % len(body)]


def test_an_upload_without_a_session_is_refused(town: Town) -> None:
    answer = town.ask(b"/upload", b"Content-Length: %d" % MEGABYTE, method=b"POST", body=bytes(MEGABYTE))
    assert answer.status == 401
    assert answer.heads == []


PLACES: Mapping[str, Any] = {"authz": "127.0.0.1:1", "app": "127.0.0.1:2", "listen": "127.0.0.1:3"}


@pytest.mark.parametrize("switches", [{}, SWITCHES], ids=["plain", "switched"])
def test_the_engine_warns_of_nothing_in_its_configuration(chosen: Engine, tmp_path: Path, switches: Mapping[str, Any]) -> None:
    if chosen.kind == "haproxy":
        (tmp_path / "haproxy.lua").write_text(snippet("haproxy-lua", **PLACES, **switches))
        command = ["-c", "-f", "haproxy.cfg"]
        expected = "Configuration file is valid"
    elif chosen.kind == "caddy":  # which warns of a file that it would format in another way
        command = ["fmt", "caddy.cfg"]
        expected = snippet("caddy", **PLACES, **switches).strip()
    else:
        pytest.skip("it prints none of its own")
    (tmp_path / f"{chosen.kind}.cfg").write_text(snippet(chosen.kind, **PLACES, **switches))
    done = subprocess.run(
        [str(chosen.binary), *command], cwd=tmp_path, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)}
    )
    assert done.stdout.strip() == expected
    assert "warn" not in done.stderr.lower()


# --- NTLM and Negotiate -----------------------------------------------------------------------------------------------

ALONE: Mapping[str, tuple[str, str]] = {
    "nginx": ('    ""      "";\n    default upgrade;', '    ""      close;\n    default upgrade;'),
    "caddy": ("flush_interval -1", "flush_interval -1\n\t\t\t\ttransport http {\n\t\t\t\t\tkeepalive off\n\t\t\t\t}"),
    "haproxy": ("http-reuse safe", "http-reuse always"),
    "envoy": ("- name: application\n", "- name: application\n      connection_pool_per_downstream_connection: true\n"),
}
"""What the comments of a configuration say for an application that asks for NTLM or Negotiate.

HAProxy needs nothing: even if it shares every connection, it does not share such a one.
"""


@pytest.fixture(scope="module")
def careful(chosen: Engine, service: int, app: App, folder: Path, backend: SQLBackend) -> Iterator[Town]:
    """The engine as its comments say for such an application."""
    before, after = ALONE.get(chosen.kind, ("", ""))

    def change(text: str) -> str:
        assert before in text or "function" in text  # the Lua file of HAProxy
        return text.replace(before, after) if before else text

    with engine(chosen, folder / f"{chosen}-ntlm".replace(" ", "-"), authz=service, app=app.port, change=change) as server:
        yield Town(server.port, app, folder, backend, chosen.kind)


def test_a_connection_that_ntlm_signs_in_serves_no_other_client(careful: Town) -> None:
    app, fields = careful.app, [b"Cookie: " + careful.login(), b"Connection: keep-alive"]
    with careful.open(b"/ntlm", *fields, until=b"NTLM"):
        signed_in = app.connections[-1]
        for _ in range(5):
            assert careful.ask(b"/", *fields[:1]).status == 200
            assert app.connections[-1] != signed_in


# --- addresses --------------------------------------------------------------------------------------------------------

DUAL: Mapping[str, tuple[str, str]] = {
    "nginx": (r"listen 127\.0\.0\.1:(\d+);", r"listen [::]:\1 ipv6only=off;"),
    "haproxy": (r"bind 127\.0\.0\.1:(\d+)", r"bind :::\1 v4v6"),
    "caddy": (r"bind 127\.0\.0\.1", "bind ::"),
    "envoy": (
        r'address: "127\.0\.0\.1", port_value: (\d+) \} \}\n      filter',
        r'address: "::", port_value: \1, ipv4_compat: true } }\n      filter',
    ),
}
"""How each engine listens for IPv4 and IPv6 at once."""


def test_an_ipv4_client_of_a_socket_for_both_has_an_ipv4_address(
    chosen: Engine, service: int, app: App, folder: Path, backend: SQLBackend
) -> None:
    before, after = DUAL[chosen.kind]
    with engine(
        chosen,
        folder / f"{chosen}-dual".replace(" ", "-"),
        authz=service,
        app=app.port,
        change=lambda text: re.sub(before, after, text, count=1),
    ) as server:
        town = Town(server.port, app, folder, backend, chosen.kind)
        answer = town.ask(b"/", b"Cookie: " + town.login())
    assert answer.status == 200
    assert b"::ffff:" not in answer.heads[0]
    if chosen.kind != "envoy":  # which names its own address in place of the loopback address
        assert answer.values(b"x-forwarded-for") == [b"127.0.0.1"]
