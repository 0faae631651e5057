"""A reload replaces the gate: the end of the process still waits for the flows that the one before it has begun."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sessionward.credential.token import Credential, new_token
from sessionward.session.session import Session
from sessionward.session.step import Flow
from sessionward.session.steps import Find
from sessionward.sidecar.build import build
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.observe.counts import Counts


def find() -> Flow[Session | None]:
    return (yield from Find(Credential(new_token().encode())))


def test_a_flow_of_before_a_reload_is_waited_for_at_the_end(tmp_path: Path) -> None:
    config = configure("serve", {"upstream": "http://127.0.0.1:9", "backend": f"sqlite:///{tmp_path}/s.db"}, {})
    counts = Counts()

    async def story() -> None:
        before = build(config, counts)
        await before.backend.create_tables()
        found: list[object] = []
        before.gate.carry(find(), Request(b"GET", b"/", [], "1.1"), found.append, asyncio.get_running_loop())
        after = build(config, counts, before)
        before.retire()
        await after.close()
        assert found == [None]

    asyncio.run(story())
