"""One request has one id: in the error that its client gets, in the log, and in the access log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from sessionward.sidecar.observe.access_log import AccessLog
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.observe.observer import Observer
from tests.sidecar.stage import staged

TARGETS = {
    "the upstream is down": b"GET / HTTP/1.1\r\nHost: a\r\n",
    "our route refuses": b"DELETE /auth/sessions HTTP/1.1\r\nHost: a\r\n",
    "two tokens": b"GET / HTTP/1.1\r\nHost: a\r\nX-Session-Token: MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE\r\nX-Session-Token: x\r\n",
    "it is no request": b"GET / HTTP/1.1\r\n",
}


@pytest.mark.parametrize("given", [b"", b"X-Request-Id: not an id\r\n"], ids=["no id", "no valid id"])
@pytest.mark.parametrize("head", TARGETS.values(), ids=TARGETS)
def test_the_error_names_the_id_of_the_access_log(head: bytes, given: bytes, tmp_path: Path) -> None:
    access = AccessLog(str(tmp_path / "log"))

    async def story() -> str:
        async with staged(None, observer=Observer(Counts(), access)) as stage:
            answer = await stage.say(head + given + b"\r\n")
        found: str = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["request"]
        return found

    told = asyncio.run(story())
    access.close()
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert json.loads(line)["id"] == told


def test_the_log_names_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> str:
        async with staged(None) as stage:
            answer = await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        found: str = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["request"]
        return found

    assert asyncio.run(story()) in caplog.text
