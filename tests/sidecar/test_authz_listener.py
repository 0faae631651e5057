"""The authorization service on our own listener: in order, the same whether the backend waits or not, and it closes when it drains."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend
from sessionward.sidecar import build
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.authz.service import Checks
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.gate import Gate
from tests.sidecar.listening import listening
from tests.sidecar.stage import SECRET, read_answer
from tests.support.sessions import started

TRUSTED = TrustedProxies(["127.0.0.1"])


def checks_over(backend: Any) -> Checks:
    gate = Gate(backend, {"secrets": [SECRET]})
    return Checks(gate, Rules(gate.mode, AuthzSettings(), signer=None, clock=lambda: 5.0))


def check(token: str = "", path: str = "/authz") -> bytes:
    credential = f"X-Session-Token: {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n{credential}\r\n".encode()


def test_pipelined_checks_are_answered_in_order_and_a_draining_service_closes() -> None:
    async def story() -> None:
        backend = MemoryBackend()
        token = started(backend, "ann")[1]
        async with listening(checks_over(backend), trusted=TRUSTED) as (port, listener):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write((check(token) + check()) * 2)
            assert [(await read_answer(reader))[9:12] for _ in range(4)] == [b"204", b"401", b"204", b"401"]
            listener.announce()
            writer.write(check(token))
            assert b"connection: close" in await read_answer(reader)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(story())


def test_many_pipelined_checks_of_one_client_leave_room_for_the_others() -> None:
    async def story() -> None:
        backend = MemoryBackend()
        async with listening(checks_over(backend), trusted=TRUSTED) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            writer.write(check() * 640)
            counting = asyncio.create_task(count_turns())
            for _ in range(640):
                assert (await read_answer(reader))[9:12] == b"401"
            counting.cancel()
            assert turns >= 640 // 32
            writer.close()

    asyncio.run(story())


def test_a_check_says_the_same_whether_the_backend_waits_or_not(tmp_path: Path) -> None:
    async def story() -> None:
        waits = AsyncSQLBackend(f"sqlite:///{tmp_path}/s.db")
        await waits.create_tables()
        answers: list[list[bytes]] = []
        for backend in (MemoryBackend(), waits):
            made, token = started(backend, "ann")
            if asyncio.iscoroutine(made):
                await made
            answers.append([])
            async with listening(checks_over(backend), trusted=TRUSTED) as (port, _):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for path in ("/authz", "/authz/optional", "/authz/200", "/authz/nothing", "/elsewhere"):
                    for sent in ("", token, "0" * 32):
                        writer.write(check(sent, path))
                        lines = (await read_answer(reader)).replace(token.encode(), b"<token>").split(b"\r\n")
                        answers[-1].append(b"\r\n".join(line for line in lines if not line.startswith((b"x-session-id:", b"date:"))))
                writer.close()
        await waits.close()
        assert answers[0] == answers[1]

    asyncio.run(story())


def test_looking_at_a_configuration_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    build.check(configure("serve", {"upstream": "http://a", "backend": "memory", "access-log": str(tmp_path / "log")}, {}))
    assert len(os.listdir("/proc/self/fd")) == before
