"""Counters and the access log: what they tell, and what they must never tell."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import new_token
from sessionward.request.request import ASGIRequest
from sessionward.response.answer import request_id
from sessionward.sidecar import build
from sessionward.sidecar.access import AccessLog
from sessionward.sidecar.admin import Readiness, admin
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.counts import Counts, shared
from sessionward.sidecar.observed import Observed
from sessionward.sidecar.peers import PEER
from sessionward.sidecar.record import ASKED, RECORD
from tests.sidecar.listening import listening
from tests.sidecar.stage import read_answer

TOKEN = new_token()
App = Callable[[Any, Any, Any], Any]


def answering(status: int, *, of_upstream: bool = True, whole: bool = True, body: bytes = b"hello") -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        inner = {**scope}  # as the door makes copies
        inner[RECORD].answered = of_upstream
        inner[RECORD].session = "a-session-id"
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body[:2], "more_body": True})
        if whole:
            await send({"type": "http.response.body", "body": body[2:]})

    return app


def scope_of(target: str = "/a%20b?token=" + TOKEN, *fields: tuple[str, str], method: str = "GET", kind: str = "http") -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": kind, "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(), "client": ("10.0.0.1", 9),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields],
    }  # fmt: skip


async def nothing(*_: Any) -> Any:
    pass


def observe(app: App, scope: dict[str, Any], log: Path | None = None) -> Counts:
    counts = Counts()
    ticks = iter([10.0, 10.02])
    access = None if log is None else AccessLog(str(log))
    asyncio.run(Observed(app, counts, access, lambda: next(ticks))(scope, nothing, nothing))
    if access is not None:
        access.close()
    return counts


RESULTS = {
    "the upstream's answer": (answering(200), "GET", "passed"),
    "the upstream's 404": (answering(404), "GET", "passed"),
    "the upstream's 500": (answering(500), "DELETE", "passed"),
    "others were revoked": (answering(200, of_upstream=False), "DELETE", "ended"),
    "refused by us": (answering(401, of_upstream=False), "GET", "refused"),
    "a failure of ours": (answering(502, of_upstream=False), "GET", "failed"),
    "cut": (answering(200, whole=False), "GET", "cut"),
}


@pytest.mark.parametrize(("app", "method", "result"), RESULTS.values(), ids=RESULTS)
def test_every_request_is_counted_once_by_what_became_of_it(app: App, method: str, result: str) -> None:
    sums = observe(app, scope_of(method=method)).sums()
    assert {name: number for name, number in sums.items() if name.startswith("requests:") and number} == {f"requests:{result}": 1}
    assert sums["seconds"] == pytest.approx(0.02)
    assert [name for name, number in sums.items() if name.startswith("le:") and number] == ["le:0.025"]
    assert sums["in_flight"] == 0


def test_an_application_that_fails_is_counted_too() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    counts = Counts()
    with pytest.raises(RuntimeError):
        asyncio.run(Observed(fails, counts, None)(scope_of(), nothing, nothing))
    assert counts.sums()["requests:failed"] == 1
    assert counts.sums()["in_flight"] == 0


def test_workers_add_up_and_one_that_comes_back_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    shared(path, 2)
    first, second = (Counts(path, rows=2, row=row) for row in range(2))
    first.done("passed", 99.0)
    first.add("in_flight")
    second.done("passed", 0.0)
    second.upstream_failed("connect")
    again = Counts(path, rows=2, row=0)  # the one before it was killed in the middle of a request
    again.done("passed", 0.0)
    for worker in (first, second, again):
        assert worker.sums()["requests:passed"] == 3
        assert worker.sums()["upstream:connect"] == 1
        assert worker.sums()["in_flight"] == 0
        assert worker.sums()["le:+Inf"] == 1


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_line_says_what_is_needed_and_no_secret_wherever_one_stands(tmp_path: Path) -> None:
    log = tmp_path / "log"
    fields = [
        ("Cookie", f"__Host-session-ward={TOKEN}.x; sid={TOKEN}"), ("Authorization", f"Bearer {TOKEN}"), ("X-Session-Token", TOKEN),
        ("Referer", f"https://a/?t={TOKEN}"), ("X-Request-Id", "given-by-a-proxy"), ("User-Agent", TOKEN), ("traceparent", TOKEN),
        ("X-Session-Assertion", TOKEN),
    ]  # fmt: skip
    observe(answering(200), scope_of(f"/a%20b?token={TOKEN}", *fields), log)
    assert TOKEN not in log.read_text()
    assert "a-session-id" not in log.read_text()
    (line,) = lines(log)
    assert line.pop("time").endswith("Z")
    assert len(line.pop("session")) == 16
    assert line == {
        "id": "given-by-a-proxy", "peer": "10.0.0.1", "client": "10.0.0.1", "method": "GET", "path": "/a%20b", "status": 200, "bytes": 5,
        "duration_ms": 20.0, "result": "passed",
    }  # fmt: skip


def test_a_session_has_the_same_name_in_all_lines_of_a_process_and_another_in_the_next(tmp_path: Path) -> None:
    for log, number in ((tmp_path / "a", 2), (tmp_path / "b", 1)):
        access = AccessLog(str(log))
        for _ in range(number):
            access.write(scope_of(), 200, 0, 0.0, "passed", "id")
        access.close()
    first, second = lines(tmp_path / "a")
    (other,) = lines(tmp_path / "b")
    assert first["session"] == second["session"] != other["session"]


def test_a_trace_goes_into_the_line_and_nothing_that_only_looks_like_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    observe(answering(200), scope_of("/", ("traceparent", trace)), log)
    observe(answering(200), scope_of("/", ("traceparent", trace.replace("0af7", "0Af\n"))), log)
    assert [line.get("traceparent") for line in lines(log)] == [trace, None]


def test_bytes_that_are_no_text_do_not_break_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    scope = scope_of()
    scope["raw_path"] = b'/\xff"\x0a\x1b['
    observe(answering(200), scope, log)
    assert len(lines(log)) == 1


def test_a_log_that_cannot_be_written_fails_no_request_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    access = AccessLog("/dev/full")
    counts = Counts()
    observed = Observed(answering(200), counts, access)
    with caplog.at_level(logging.ERROR, logger="sessionward"):
        for _ in range(3):
            asyncio.run(observed(scope_of(), nothing, nothing))
    access.close()
    assert counts.sums()["requests:passed"] == 3
    assert [record.message.partition(":")[0] for record in caplog.records] == ["the access log cannot be written"]


def test_a_websocket_is_counted_as_open_until_it_ends() -> None:
    counts = Counts()
    seen: list[float] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "headers": []})
        seen.append(counts.sums()["tunnels"])

    asyncio.run(Observed(app, counts, None)(scope_of(kind="websocket"), nothing, nothing))
    assert seen == [1.0]
    assert counts.sums()["tunnels"] == 0
    assert counts.sums()["requests:passed"] == 1


def test_the_id_in_the_line_is_the_one_that_an_error_names(tmp_path: Path) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(request_id(ASGIRequest(scope)))
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    for given in ((), (("X-Request-Id", "not an id"),), (("X-Request-Id", "mine"),)):
        observe(app, scope_of("/", *given), tmp_path / "log")
    assert [line["id"] for line in lines(tmp_path / "log")] == seen
    assert seen[2] == "mine"


def test_a_client_that_does_not_wait_is_noted_as_cut_with_what_it_took(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        scope[RECORD].gone = True
        await send({"type": "http.response.body", "body": b"defgh"})

    counts = observe(app, scope_of(), tmp_path / "log")
    assert counts.sums()["requests:cut"] == 1
    (line,) = lines(tmp_path / "log")
    assert (line["result"], line["bytes"]) == ("cut", 3)


def test_what_began_on_the_straight_way_is_timed_from_there() -> None:
    counts = Counts()
    asyncio.run(Observed(answering(200), counts, None, lambda: 12.0)({**scope_of(), ASKED: (10.0, None)}, nothing, nothing))
    assert counts.sums()["seconds"] == 2.0


def test_a_check_is_never_counted_as_a_revocation_whatever_its_method() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        {**scope}[RECORD].is_check = True
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert observe(app, scope_of(method="DELETE")).sums()["requests:passed"] == 1
    counts = Counts()
    Observed(app, counts, None).check(scope_of(method="DELETE"), 204, 0, 0.0)
    Observed(app, counts, None).check(scope_of(method="DELETE"), 401, 0, 0.0)
    assert (counts.sums()["requests:passed"], counts.sums()["requests:refused"]) == (1, 1)


def test_what_cannot_be_read_is_counted_and_noted(tmp_path: Path) -> None:
    counts, access = Counts(), AccessLog(str(tmp_path / "log"))
    observed = Observed(answering(200), counts, access)

    async def story() -> None:
        async with listening(observed, unreadable=observed.unreadable) as port:
            for garbage in (b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(garbage)
                assert (await read_answer(reader)).startswith(b"HTTP/1.1 4")
                writer.close()

    asyncio.run(story())
    access.close()
    assert counts.sums()["requests:refused"] == 3
    assert [(line["status"], line["result"], line["peer"]) for line in lines(tmp_path / "log")] == [
        (status, "refused", "127.0.0.1") for status in (400, 400, 405)
    ]


@pytest.mark.parametrize(("took", "bucket"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (10.0, "10"), (10.1, "+Inf")])
def test_a_duration_is_in_the_first_bucket_that_holds_it(took: float, bucket: str) -> None:
    counts = Counts()
    counts.done("passed", took)
    assert [name for name, number in counts.sums().items() if name.startswith("le:") and number] == [f"le:{bucket}"]


def test_a_unix_socket_is_a_peer_without_an_address_and_the_file_is_not_for_everybody(tmp_path: Path) -> None:
    log = tmp_path / "log"
    observe(answering(200), {**scope_of(), "client": None}, log)
    assert [(line["peer"], line["client"]) for line in lines(log)] == [("unix", "unix")]
    observe(answering(200), {**scope_of(), PEER: ("10.0.0.2", 1)}, log)
    assert [(line["peer"], line["client"]) for line in lines(log)[1:]] == [("10.0.0.2", "10.0.0.1")]
    assert log.stat().st_mode & 0o007 == 0


def test_no_line_is_longer_than_a_pipe_takes_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    scope = scope_of("/", ("X-Request-Id", '"' * 128))
    scope["raw_path"] = b"/" + b'"' * 8_000
    observe(answering(200), scope, log)
    assert len(log.read_bytes()) < 4096
    assert lines(log)[0]["path_length"] == 8_001


def test_a_line_that_was_torn_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    access = AccessLog(str(tmp_path / "log"))
    real, outcomes = os.write, iter([20, OSError(28, "No space left on device"), None, None])

    def writes(file: int, data: bytes) -> int:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return real(file, data[:outcome])

    monkeypatch.setattr("sessionward.sidecar.access.os.write", writes)
    with caplog.at_level(logging.WARNING, logger="sessionward"):
        for _ in range(4):
            access.write(scope_of(), 200, 0, 0.0, "passed", None)
    monkeypatch.undo()
    access.close()
    torn, *whole = (tmp_path / "log").read_text().splitlines()
    assert len(torn) == 20
    assert [json.loads(line)["status"] for line in whole] == [200, 200]
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: No space left on device",
        "the access log is written again; 1 lines were lost",
    ]


def test_looking_at_a_configuration_leaves_no_file_open(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before = len(os.listdir("/proc/self/fd"))
    build.check(configure("serve", {"upstream": "http://a", "backend": "memory", "access-log": str(log)}, {}))
    assert len(os.listdir("/proc/self/fd")) == before


# --- the admin address ------------------------------------------------------------------------------------------------


async def passes() -> None:
    pass


async def fails() -> None:
    raise OSError("secret detail")


async def hangs() -> None:
    await asyncio.sleep(3600)


@pytest.mark.filterwarnings("ignore:.*httpx.*")
def test_ready_is_only_who_passes_every_check_and_says_nothing_more() -> None:
    readiness = Readiness({"backend": passes, "upstream": fails})
    with TestClient(admin(readiness, Counts(), lambda: 0)) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"serving": True, "backend": True, "upstream": False})
        assert answer.headers["cache-control"] == "no-store"
        assert client.get("/livez").json() == {"alive": True}


def test_draining_is_not_ready_at_once_and_checks_are_asked_at_most_once_a_second() -> None:
    asked: list[int] = []
    now = [100.0]

    async def counted() -> None:
        asked.append(1)

    async def story() -> None:
        readiness = Readiness({"backend": counted}, lambda: now[0])
        for _ in range(5):
            assert await readiness.state() == {"serving": True, "backend": True}
        assert len(asked) == 1
        readiness.draining = True
        assert await readiness.state() == {"serving": False}
        readiness.draining = False
        now[0] += 1.0
        await readiness.state()
        assert len(asked) == 2

    asyncio.run(story())


def test_a_check_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionward.sidecar.admin.PATIENCE", 0.01)
    assert asyncio.run(Readiness({"upstream": hangs}).state()) == {"serving": True, "upstream": False}


def test_metrics_are_what_prometheus_reads() -> None:
    counts = Counts()
    counts.done("passed", 0.004)
    counts.done("refused", 0.2)
    counts.upstream_failed("timeout")
    with TestClient(admin(Readiness({}), counts, lambda: 7)) as client:
        answer = client.get("/metrics")
        text = answer.text
        for line in (
            'sessionward_requests_total{result="passed"} 1.0',
            'sessionward_requests_total{result="refused"} 1.0',
            'sessionward_request_duration_seconds_bucket{le="0.0025"} 0.0',
            'sessionward_request_duration_seconds_bucket{le="0.005"} 1.0',
            'sessionward_request_duration_seconds_bucket{le="+Inf"} 2.0',
            "sessionward_request_duration_seconds_count 2.0",
            'sessionward_upstream_failures_total{kind="timeout"} 1.0',
            "sessionward_upstream_connections_idle 7.0",
            f'sessionward_build_info{{version="{sessionward.__version__}"}} 1.0',
        ):
            assert line in text.splitlines()
        assert answer.headers["content-type"].startswith("text/plain")
        assert (client.get("/").status_code, client.post("/readyz").status_code) == (404, 405)
        assert client.get("/livez/", follow_redirects=False).status_code == 404
        assert client.get("/").json() == {"error": "Not Found"}


def test_memory_is_a_backend_that_is_ready() -> None:
    from sessionward.asgi import door_of
    from sessionward.modes.choose import choose
    from sessionward.sidecar.build import _answers

    backend = MemoryBackend()
    mode = choose(backend, {"secrets": ["a secret of the tests, long enough: 0123456789"]})
    asyncio.run(_answers(door_of(mode, backend).driver))
