"""Counters, the access log and the admin address: what they show, and what they must never show."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import sessionward
from sessionward.credential.token import new_token
from sessionward.sidecar.client.local import LocalService
from sessionward.sidecar.observe import access_log, writer
from sessionward.sidecar.observe.access_log import AccessLog
from sessionward.sidecar.observe.admin import Admin
from sessionward.sidecar.observe.counts import BOUNDS, RESULTS, Counts, shared
from sessionward.sidecar.observe.observer import MESSAGES, QUIET, Observer
from sessionward.sidecar.observe.readiness import Readiness
from sessionward.sidecar.observe.writer import MAX_LINES, Writer
from tests.sidecar.listening import listening

TOKEN = new_token()
PATIENCE = 20.0


@dataclass
class Asked:
    """A request, as far as a line shows it."""

    path: bytes = b"/a%20b"
    method: bytes = b"GET"
    fields: dict[bytes, bytes] = field(default_factory=dict)
    peer: str | None = "10.0.0.1"
    believed: str | None = "10.0.0.1"
    session: object = None
    began: float = 10.0
    id: str = "an-id"

    def client(self) -> str | None:
        return self.believed

    def header(self, name: bytes, /) -> bytes | None:
        return self.fields.get(name)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def logged(log: Path, *requests: Asked, status: int = 200, result: str = "passed") -> list[dict[str, Any]]:
    """Returns the lines of these requests."""
    access = AccessLog(str(log))
    for request in requests:
        access.write(request, status, 5, 0.02, result)
    access.close()
    return lines(log)


def until(true: Callable[[], object]) -> None:
    """Waits until something is so."""
    ends = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < ends, "it has not come to pass"
        time.sleep(0.005)


# --- counters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", RESULTS)
def test_every_request_is_counted_once_by_its_result_and_the_class_of_its_status(result: str) -> None:
    counts = Counts()
    observer = Observer(counts, clock=lambda: 10.02)
    observer.begins()
    assert counts.sums()["in_flight"] == 1
    observer.done(Asked(), 404, 5, result)
    sums = counts.sums()
    assert sums.pop("seconds") == pytest.approx(0.02)
    assert {name: number for name, number in sums.items() if number} == {f"requests:{result}": 1, "responses:4xx": 1, "le:0.025": 1}


@pytest.mark.parametrize("status", [101, 200, 304, 499, 599])
def test_a_status_is_counted_in_its_class(status: int) -> None:
    counts = Counts()
    counts.done("passed", 0.0, status)
    assert [name for name, number in counts.sums().items() if name.startswith("responses:") and number] == [f"responses:{status // 100}xx"]


def test_a_request_without_an_answer_has_no_class() -> None:
    counts = Counts()
    counts.done("cut", 0.0, 0)
    assert not [name for name, number in counts.sums().items() if name.startswith("responses:") and number]


def test_a_tunnel_is_open_until_it_ends_and_its_time_is_no_time_of_an_answer() -> None:
    counts = Counts()
    observer = Observer(counts, clock=lambda: 9_999.0)
    observer.begins()
    observer.tunnel(1)
    assert counts.sums()["tunnels"] == 1
    observer.tunnel(-1)
    observer.done(Asked(), 101, 0, "passed", tunnel=True)
    sums = counts.sums()
    assert {name: number for name, number in sums.items() if number} == {"requests:passed": 1, "responses:1xx": 1}


def test_workers_add_up_and_one_that_comes_back_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    shared(path, 2)
    first, second = (Counts(path, rows=2, row=row) for row in range(2))
    first.begins()
    first.done("passed", 99.0)
    first.begins()
    second.begins()
    second.done("passed", 0.0)
    second.upstream_failed("connect")
    again = Counts(path, rows=2, row=0)  # the one before it was killed in the middle of a request
    again.begins()
    again.done("passed", 0.0)
    for worker in (first, second, again):
        assert worker.sums()["requests:passed"] == 3
        assert worker.sums()["upstream:connect"] == 1
        assert worker.sums()["in_flight"] == 0
        assert worker.sums()["le:+Inf"] == 1


@pytest.mark.parametrize(("took", "bucket"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (10.0, "10"), (10.1, "+Inf")])
def test_a_duration_is_in_the_first_bucket_that_holds_it(took: float, bucket: str) -> None:
    counts = Counts()
    counts.done("passed", took)
    assert [name for name, number in counts.sums().items() if name.startswith("le:") and number] == [f"le:{bucket}"]


def test_a_limit_is_counted_each_time_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    counts, now = Counts(), [0.0]
    observer = Observer(counts, clock=lambda: now[0])
    for number in range(5):
        observer.bound("connections")
        now[0] = number * QUIET / 4
    observer.bound("trailers")
    assert (counts.sums()["bound:connections"], counts.sums()["bound:trailers"]) == (5, 1)
    now[0] = QUIET
    observer.bound("connections")
    said = [record.message for record in caplog.records if "max-connections" in record.message]
    assert [each.rpartition(" (")[2] for each in said] == ["1 since this was logged last)", "5 since this was logged last)"]


def test_each_limit_has_a_message() -> None:
    assert set(MESSAGES) == set(BOUNDS)


# --- the access log ---------------------------------------------------------------------------------------------------


def test_a_line_says_what_is_needed_and_no_secret_from_any_field(tmp_path: Path) -> None:
    names = (b"cookie", b"authorization", b"x-session-token", b"referer", b"user-agent", b"traceparent", b"x-session-assertion")
    request = Asked(fields=dict.fromkeys(names, TOKEN.encode()), session="a-session-id", id="given-by-a-proxy")
    (line,) = logged(tmp_path / "log", request)
    assert TOKEN not in (tmp_path / "log").read_text()
    assert "a-session-id" not in (tmp_path / "log").read_text()
    assert line.pop("time").endswith("Z")
    assert len(line.pop("session")) == 16
    assert line == {
        "id": "given-by-a-proxy", "peer": "10.0.0.1", "client": "10.0.0.1", "method": "GET", "path": "/a%20b", "status": 200, "bytes": 5,
        "duration_ms": 20.0, "result": "passed",
    }  # fmt: skip


def test_a_refused_request_is_logged_with_its_id_its_problem_and_what_is_known_of_it(tmp_path: Path) -> None:
    counts, access = Counts(), AccessLog(str(tmp_path / "log"))
    observer = Observer(counts, access)
    observer.refused("10.0.0.1", 400, "bad_request", None, "made-here")
    observer.refused(None, 405, "method_not_allowed", Asked(method=b"TRACE", believed=None), "an-id")
    observer.close()
    assert counts.sums()["requests:refused"] == 2
    assert [{name: value for name, value in line.items() if name != "time"} for line in lines(tmp_path / "log")] == [
        {"id": "made-here", "peer": "10.0.0.1", "status": 400, "result": "refused", "problem": "bad_request"},
        {"id": "an-id", "peer": "unix", "client": "unix", "method": "TRACE", "path": "/a%20b", "status": 405, "result": "refused",
         "problem": "method_not_allowed"},
    ]  # fmt: skip


UNREADABLE = {
    "no request": (b"GARBAGE\r\n\r\n", 400, {}),
    "no Host": (b"GET /a?t=secret HTTP/1.1\r\n\r\n", 400, {"method": "GET", "path": "/a"}),
    "a method that does not pass": (b"TRACE /b HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n", 405, {"method": "TRACE", "path": "/b"}),
    "a target that is no path": (b"GET http://u:secret@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, {"method": "GET"}),
}


@pytest.mark.parametrize(("sent", "status", "known"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_the_listener_refuses_is_counted_and_logged_with_the_id_that_its_client_gets(
    tmp_path: Path, sent: bytes, status: int, known: dict[str, str]
) -> None:
    counts = Counts()
    observer = Observer(counts, AccessLog(str(tmp_path / "log")))

    async def story() -> bytes:
        async with listening(LocalService(Admin(Readiness({}), counts, int).answer), observer=observer) as (port, _listener):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            answer = await reader.read()
            writer.close()
            return answer

    head, _, body = asyncio.run(story()).partition(b"\r\n\r\n")
    observer.close()
    error = json.loads(body)["error"]
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert "secret" not in (tmp_path / "log").read_text()
    (line,) = lines(tmp_path / "log")
    assert {name: line.get(name) for name in ("id", "status", "result", "problem")} == {
        "id": error["request"], "status": status, "result": "refused", "problem": error["id"],
    }  # fmt: skip
    assert known.items() <= line.items()
    assert counts.sums()["requests:refused"] == 1


def test_a_session_has_the_same_name_in_all_lines_of_a_process_and_another_in_the_next(tmp_path: Path) -> None:
    first, second = logged(tmp_path / "a", Asked(session="id"), Asked(session="id"))
    (other,) = logged(tmp_path / "b", Asked(session="id"))
    assert first["session"] == second["session"] != other["session"]


def test_a_trace_goes_into_the_line_and_nothing_that_only_looks_like_one(tmp_path: Path) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked = [Asked(fields={b"traceparent": each}) for each in (trace, trace.replace(b"0af7", b"0Af\n"), trace + b",x")]
    assert [line.get("traceparent") for line in logged(tmp_path / "log", *asked)] == [trace.decode(), None, None]


PATHS = {
    "bytes that are no text": (b'/\xff"\x0a\x1b[', '/%FF"%0A%1B[', None),
    "a long one": (b"/" + b'"' * 8_000, "/" + '"' * (access_log.MAX_PATH - 1), 8_001),
    "a long one of control bytes": (b"/" + b"\x00" * 8_000, ("/" + "%00" * 400)[: access_log.MAX_PATH], 8_001),
    "percent-encoded already": (b"/%2e%C3%A4", "/%2e%C3%A4", None),
}


@pytest.mark.parametrize(("path", "shown", "length"), PATHS.values(), ids=PATHS)
def test_any_path_makes_one_line_that_a_pipe_takes_at_once(tmp_path: Path, path: bytes, shown: str, length: int | None) -> None:
    (line,) = logged(tmp_path / "log", Asked(path=path, method=b"\xff" * 999, id='"' * 128))
    assert (line["path"], line.get("path_length")) == (shown, length)
    assert len((tmp_path / "log").read_bytes()) < 4096


def test_a_unix_socket_is_a_peer_without_an_address_and_others_cannot_read_the_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logged(log, Asked(peer=None, believed=None), Asked(peer="10.0.0.2"))
    assert [(line["peer"], line["client"]) for line in lines(log)] == [("unix", "unix"), ("10.0.0.2", "10.0.0.1")]
    assert log.stat().st_mode & 0o007 == 0


def test_a_file_that_was_moved_is_opened_again(tmp_path: Path) -> None:
    access = AccessLog(str(tmp_path / "log"))
    access.write(Asked(id="first"), 200, 0, 0.0, "passed")
    until(lambda: (tmp_path / "log").read_text())
    (tmp_path / "log").rename(tmp_path / "old")
    access.reopen()
    until((tmp_path / "log").exists)
    access.write(Asked(id="second"), 200, 0, 0.0, "passed")
    access.close()
    assert [line["id"] for name in ("old", "log") for line in lines(tmp_path / name)] == ["first", "second"]


def test_a_file_that_cannot_be_opened_again_stays_the_old_one_and_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    access = AccessLog(str(tmp_path / "log"))
    monkeypatch.setattr(access, "_path", str(tmp_path / "nowhere" / "log"))
    access._writer._open = access._open
    access.reopen()
    access.write(Asked(), 200, 0, 0.0, "passed")
    access.close()
    assert len(lines(tmp_path / "log")) == 1
    assert [record.message for record in caplog.records] == ["the access log cannot be written: No such file or directory"]


def test_a_log_that_cannot_be_written_fails_no_request_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    counts, access = Counts(), AccessLog("/dev/full")
    observer = Observer(counts, access)
    for _ in range(3):
        observer.done(Asked(), 200, 0, "passed")
    observer.close()
    assert counts.sums()["requests:passed"] == 3
    assert [record.message for record in caplog.records] == ["the access log cannot be written: No space left on device"]


def test_a_pipe_without_a_reader_stops_no_request_and_what_is_lost_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The worker stopped after 289 requests, when the pipe was full."""
    reading, writing = os.pipe()
    access = AccessLog("-")
    access._writer._file = writing
    for _ in range(MAX_LINES + 500):  # more than the queue and the pipe hold
        access.write(Asked(), 200, 0, 0.0, "passed")
    assert [record.message for record in caplog.records] == [f"the access log cannot be written: {writer.TOO_SLOW}"]
    read: list[bytes] = []

    def reads() -> None:
        with open(reading, "rb") as pipe:
            read.append(pipe.read())

    reader = threading.Thread(target=reads)
    reader.start()
    until(lambda: len(caplog.records) == 2)
    access.close()
    os.close(writing)
    reader.join()
    lost = int(caplog.records[1].message.removeprefix("the access log is written again; ").removesuffix(" lines were lost"))
    assert [json.loads(line)["id"] for line in read[0].splitlines()] == ["an-id"] * (MAX_LINES + 500 - lost)
    assert 0 < lost <= 500


def test_the_end_waits_for_a_pipe_without_a_reader_for_its_time_at_most() -> None:
    reading, writing = os.pipe()
    made = Writer(writing)
    for _ in range(1_000):
        made.write(b"x" * 999 + b"\n")
    until(lambda: len(made._lines) < 1_000)
    began = time.monotonic()
    assert made.close(0.05) > 0
    assert time.monotonic() - began < PATIENCE
    thread = made._thread
    assert thread is not None
    os.set_blocking(reading, False)
    while thread.is_alive():
        try:
            os.read(reading, 65_536)
        except BlockingIOError:
            time.sleep(0.001)
    os.close(reading)
    os.close(writing)


def test_a_pipe_that_nothing_will_read_is_an_error_at_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        AccessLog(str(tmp_path / "pipe"))


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    made = Writer(writing)
    for _ in range(200):
        made.write(b"x" * 999 + b"\n")
    read = b""
    while len(read) < 200_000:
        read += os.read(reading, 65_536)
    assert made.close() == 0
    assert read == (b"x" * 999 + b"\n") * 200
    os.close(reading)
    os.close(writing)


def test_several_lines_are_one_write_of_less_than_4096_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def writes(_file: int, data: bytes) -> int:
        sizes.append(len(data))
        return len(data)

    monkeypatch.setattr("sessionward.sidecar.observe.writer.os.write", writes)
    made = Writer(-1, delay=0.05)
    for _ in range(9):
        made.write(b"x" * 999 + b"\n")
    made.close()
    assert sum(sizes) == 9_000
    assert len(sizes) == 3
    assert max(sizes) < 4_096


def test_a_line_that_was_torn_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    access = AccessLog(str(tmp_path / "log"))
    real = os.write
    outcomes: list[Any] = [20, OSError(28, "No space left on device"), None, None]

    def writes(file: int, data: bytes) -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return real(file, data[:outcome])

    monkeypatch.setattr("sessionward.sidecar.observe.writer.os.write", writes)
    for number in range(4):
        access.write(Asked(), 200, 0, 0.0, "passed")
        until(lambda number=number: len(outcomes) == 3 - number)  # type: ignore[misc]
    access.close()
    monkeypatch.undo()
    torn, *whole = (tmp_path / "log").read_text().splitlines()
    assert len(torn) == 20
    assert [json.loads(line)["status"] for line in whole] == [200, 200]
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: not all of a line was written",
        "the access log is written again; 2 lines were lost",
    ]


# --- the admin address ------------------------------------------------------------------------------------------------


async def passes() -> None:
    pass


async def fails() -> None:
    raise OSError("secret detail")


async def hangs() -> None:
    await asyncio.sleep(3600)


def answered(admin: Admin, path: bytes, method: bytes = b"GET") -> tuple[int, dict[bytes, bytes], bytes]:
    response = asyncio.run(admin.answer(Asked(path=path, method=method)))
    return int(response.status), dict(response.headers), response.body


def test_ready_is_what_passes_every_check_and_the_answer_says_nothing_more() -> None:
    admin = Admin(Readiness({"backend": passes, "upstream": fails}), Counts(), lambda: 0)
    status, fields, body = answered(admin, b"/readyz")
    assert (status, json.loads(body)) == (503, {"serving": True, "backend": True, "upstream": False})
    assert (fields[b"cache-control"], fields[b"content-length"]) == (b"no-store", str(len(body)).encode())
    assert answered(admin, b"/livez")[::2] == (200, b'{"alive":true}')


def test_draining_is_not_ready_at_once_and_checks_run_at_most_once_a_second() -> None:
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
    monkeypatch.setattr("sessionward.sidecar.observe.readiness.CHECK_TIMEOUT", 0.01)
    assert asyncio.run(Readiness({"upstream": hangs}).state()) == {"serving": True, "upstream": False}


def test_metrics_are_what_prometheus_reads() -> None:
    counts = Counts()
    observer = Observer(counts)
    counts.done("passed", 0.004, 200)
    counts.done("refused", 0.2, 503)
    counts.upstream_failed("timeout")
    observer.bound("unread_answer")
    observer.login_refused()
    status, fields, body = answered(Admin(Readiness({}), counts, lambda: 7), b"/metrics")
    assert status == 200
    for line in (
        'sessionward_requests_total{result="passed"} 1.0',
        'sessionward_requests_total{result="refused"} 1.0',
        'sessionward_responses_total{class="2xx"} 1.0',
        'sessionward_responses_total{class="5xx"} 1.0',
        'sessionward_request_duration_seconds_bucket{le="0.0025"} 0.0',
        'sessionward_request_duration_seconds_bucket{le="0.005"} 1.0',
        'sessionward_request_duration_seconds_bucket{le="+Inf"} 2.0',
        "sessionward_request_duration_seconds_count 2.0",
        'sessionward_upstream_failures_total{kind="timeout"} 1.0',
        'sessionward_bounds_total{bound="unread_answer"} 1.0',
        'sessionward_bounds_total{bound="connections"} 0.0',
        "sessionward_logins_refused_total 1.0",
        "sessionward_upstream_connections_idle 7.0",
        f'sessionward_build_info{{version="{sessionward.__version__}"}} 1.0',
    ):
        assert line in body.decode().splitlines()
    assert fields[b"content-type"].startswith(b"text/plain")


OTHERS = {
    "another path": (b"/", b"GET", 404, "Not Found"),
    "a slash at the end": (b"/livez/", b"GET", 404, "Not Found"),
    "another method": (b"/readyz", b"POST", 405, "Method Not Allowed"),
}


@pytest.mark.parametrize(("path", "method", "status", "error"), OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_answered_there(path: bytes, method: bytes, status: int, error: str) -> None:
    got, fields, body = answered(Admin(Readiness({}), Counts(), int), path, method)
    assert (got, json.loads(body)) == (status, {"error": error})
    assert fields.get(b"allow") == (b"GET, HEAD" if status == 405 else None)


def test_head_is_answered_like_get() -> None:
    admin = Admin(Readiness({}), Counts(), int)
    assert answered(admin, b"/livez", b"HEAD") == answered(admin, b"/livez")
