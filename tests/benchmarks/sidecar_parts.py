"""Where the processor time of one check goes: reading it, the guard, writing the answer; each in process, by the code that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import process_time
from typing import Any

from sessionward.backends.memory import MemoryBackend
from sessionward.response.answer import Response
from sessionward.sidecar.authz.routes import route_of
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.client.reader import RequestReader
from sessionward.sidecar.client.writer import ResponseWriter
from sessionward.sidecar.gate import Gate
from tests.benchmarks.measure import Effort, Timed, alternate
from tests.benchmarks.requests import SECRET
from tests.benchmarks.signing import sign_in

PARTS = ("reading", "guard", "writing")


def parts(token: str, cookie: str, effort: Effort) -> Mapping[str, Sequence[float]]:
    """Returns the seconds that each part of a check with a live session takes, round by round."""
    backend = MemoryBackend()
    backend.login(sign_in("ada", token))
    gate = Gate(backend, {"secrets": [SECRET]})
    rules = Rules(gate.mode, AuthzSettings(), signer=None, clock=float)
    route = route_of(b"/authz/nginx")
    assert route is not None
    reader, writer, answers = RequestReader(), ResponseWriter(_Transport()), list[Response]()
    reader.read(_check(cookie))
    request = reader.head
    assert request is not None
    request.is_trusted, request.peer = True, "127.0.0.1"
    loop = asyncio.new_event_loop()
    gate.carry(rules.answer(request, route), request, answers.append, loop)
    answer = answers.pop()
    assert int(answer.status) == 204, "the check passes"

    def guard() -> None:
        gate.carry(rules.answer(request, route), request, answers.append, loop)
        answers.clear()

    def write() -> None:
        writer.begin()
        writer.start(request, int(answer.status), None, answer.headers, len(answer.body), True, False)
        writer.send(answer.body)
        writer.finish()

    check = _check(cookie)
    work = (lambda: reader.read(check), guard, write)
    found = alternate({name: _timed(each) for name, each in zip(PARTS, work, strict=True)}, effort)
    loop.close()
    return found


def _check(cookie: str) -> bytes:
    """Returns a check as nginx sends it with the printed configuration."""
    fields = ("Host: 127.0.0.1", f"Cookie: {cookie}", "X-Forwarded-For: 127.0.0.1", "X-Original-Method: GET", "X-Original-URI: /")
    return "\r\n".join(("GET /authz/nginx HTTP/1.1", *fields, "\r\n")).encode()


def _timed(work: Any) -> Timed:
    def timed(number: int) -> float:
        began = process_time()
        for _ in range(number):
            work()
        return process_time() - began

    return timed


class _Transport(asyncio.Transport):
    """Takes all bytes, and does nothing with them: the system calls are measured in a real process."""

    def write(self, data: Any) -> None:
        """Drops the bytes."""

    def is_closing(self) -> bool:
        return False
