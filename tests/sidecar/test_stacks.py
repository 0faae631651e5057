"""In front of the stacks that people run, an answer through the sidecar is the answer that they gave."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sessionward.sidecar.upstream.pool import Place
from tests.sidecar.stacks.data import PAGE
from tests.sidecar.stage import PATIENCE, read_answer, staged
from tests.support.servers import HOST, Server, served

ROOT = Path(__file__).parents[2]
STACKS = Path(__file__).parent / "stacks"

STARLETTE: Callable[[int], Sequence[str]] = lambda port: [  # noqa: E731
    sys.executable, "-m", "uvicorn", "tests.sidecar.stacks.starlette_app:app", "--port", str(port), "--log-level", "warning",
]  # fmt: skip
FLASK: Callable[[int], Sequence[str]] = lambda port: [  # noqa: E731
    sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "4", "--bind", f"{HOST}:{port}",
    "--no-control-socket", "--worker-tmp-dir", "/dev/shm", "tests.sidecar.stacks.flask_app:app",
]  # fmt: skip
NODE: Callable[[int], Sequence[str]] = lambda port: ["node", str(STACKS / "server.js"), str(port)]  # noqa: E731
FILES: Callable[[int], Sequence[str]] = lambda port: [sys.executable, "-m", "http.server", str(port), "--bind", HOST]  # noqa: E731

HYPERCORN: Callable[[int], Sequence[str]] = lambda port: [  # noqa: E731
    sys.executable, "-m", "hypercorn", "--bind", f"{HOST}:{port}", "--log-level", "error", "tests.sidecar.stacks.starlette_app:app",
]  # fmt: skip
WAITRESS: Callable[[int], Sequence[str]] = lambda port: [  # noqa: E731
    sys.executable, "-m", "waitress", "--listen", f"{HOST}:{port}", "tests.sidecar.stacks.flask_app:app",
]  # fmt: skip
CHEROOT: Callable[[int], Sequence[str]] = lambda port: [  # noqa: E731
    sys.executable, "-m", "cheroot", "--bind", f"{HOST}:{port}", "tests.sidecar.stacks.flask_app:app",
]  # fmt: skip
UWSGI: Callable[[int], Sequence[str]] = lambda port: [  # noqa: E731
    sys.executable, "-c", "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])", "--http-socket", f"{HOST}:{port}",
    "--module", "tests.sidecar.stacks.flask_app:app", "--processes", "2", "--need-app", "--die-on-term", "--master", "--disable-logging",
]  # fmt: skip

COMMANDS = {
    "starlette on uvicorn": STARLETTE,
    "starlette on hypercorn": HYPERCORN,
    "flask on gunicorn": FLASK,
    "flask on waitress": WAITRESS,
    "flask on cheroot": CHEROOT,
    "flask on uWSGI": UWSGI,
    "node": NODE,
    "python -m http.server": FILES,
}


@pytest.fixture(scope="module", params=COMMANDS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "node" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("stack")
    (folder / "page.txt").write_bytes(PAGE)
    (folder / "empty").write_bytes(b"")
    (folder / "über uns").mkdir()
    environment = {"STACK_FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
    with served(COMMANDS[request.param], log=folder / "log", cwd=folder, env=environment) as server:
        yield server


GETS = {
    "a page": (b"/page.txt", b""),
    "an entity tag": (b"/etag", b""),
    "the tag that it has": (b"/etag", b'If-None-Match: "a1b2"\r\n'),
    "another tag": (b"/etag", b'If-None-Match: "zz"\r\n'),
    "not modified since": (b"/page.txt", b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
    "one range": (b"/page.txt", b"Range: bytes=1000-1999\r\n"),
    "the last bytes": (b"/page.txt", b"Range: bytes=-7\r\n"),
    "several ranges": (b"/page.txt", b"Range: bytes=0-9,100-199,5000-5001\r\n"),
    "a range that is not there": (b"/page.txt", b"Range: bytes=99999999-\r\n"),
    "gzip": (b"/packed", b"Accept-Encoding: gzip\r\n"),
    "chunks": (b"/chunked", b"TE: trailers\r\n"),
    "cookies of one name": (b"/cookies", b""),
    "299": (b"/status/299", b""),
    "418": (b"/status/418", b""),
    "599": (b"/status/599", b""),
    "503": (b"/status/503", b""),
    "nothing": (b"/empty", b""),
    "much": (b"/big", b""),
    "latin-1 in a field": (b"/latin", b""),
    "no date": (b"/nodate", b""),
    "a path in percents": (b"/%7euser/%41/%2e%2e/a%2Fb%20c", b""),
    "a path that is not normal": (b"/a//b/./c/../d;e=f/", b""),
    "two slashes first": (b"//a/b", b""),
    "UTF-8": (b"/%C3%BCber%20uns", b""),
    "not UTF-8": (b"/%ff%fe", b""),
    "a query as it came": (b"/x?b=2&a=1&&a=%20+&c&=?/%zz", b""),
    "an empty query": (b"/x?", b""),
    "another question mark": (b"/x??y?z", b""),
    "odd but legal": (b"/!$&'()*+,;=:@-._~|{}^`\\\"<>", b""),
    "not found": (b"/none/such", b""),
}
HOP_BY_HOP = (b"connection", b"keep-alive", b"transfer-encoding", b"trailer")


def seen(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """An answer without what belongs to one connection, or to the moment: status line, fields in their order, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    lines = [line for line in lines if line.partition(b":")[0].lower() not in HOP_BY_HOP]
    lines = [re.sub(rb"^(date: ).*", rb"\1now", line, flags=re.IGNORECASE) for line in lines]
    boundary = re.search(rb"boundary=\"?([0-9A-Za-z=_-]+)", head)
    if boundary is not None:  # which is drawn at random
        lines = [line.replace(boundary[1], b"boundary") for line in lines]
        body = body.replace(boundary[1], b"boundary")
    return first.partition(b" ")[2], lines, body


def with_date_of(direct: tuple[bytes, list[bytes], bytes], through: tuple[bytes, list[bytes], bytes]) -> tuple[bytes, list[bytes], bytes]:
    """An answer that has no date is given one on its way (RFC 9110, 6.6.1). Nothing else may be new in it."""
    first, lines, body = through
    if not any(line.lower() == b"date: now" for line in direct[1]):
        lines = [line for line in lines if line != b"date: now"]
    return first, lines, body


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
            if request.startswith(b"HEAD"):
                return await reader.readuntil(b"\r\n\r\n")
            return await read_answer(reader)
    finally:
        writer.close()


async def compared(stack: Server, requests: Sequence[bytes]) -> None:
    async with staged(None, place=Place(host=HOST, port=stack.port)) as stage:
        for request in requests:
            direct = seen(await ask(stack.port, request))
            for _ in range(2):  # the second time there is a connection at hand, where the stack keeps one
                through = with_date_of(direct, seen(await ask(stage.port, request)))
                assert through[0] == direct[0], request
                assert through[1] == direct[1], request
                assert through[2] == direct[2], request
        assert stage.failures == []


@pytest.mark.parametrize("method", [b"GET", b"HEAD"], ids=["GET", "HEAD"])
def test_an_answer_is_the_same_through_the_sidecar(stack: Server, method: bytes) -> None:
    requests = [b"%b %b HTTP/1.1\r\nHost: app.example\r\n%b\r\n" % (method, path, fields) for path, fields in GETS.values()]
    asyncio.run(compared(stack, requests))


def test_a_body_is_the_same_through_the_sidecar(stack: Server) -> None:
    body = bytes(range(256)) * 1_000
    head = b"POST /post HTTP/1.1\r\nHost: app.example\r\nContent-Type: application/octet-stream\r\n"
    requests = [
        head + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        head + b"Content-Length: 0\r\n\r\n",
        head
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x;ext=1\r\n%b\r\n" % (256, body[:256]) for _ in range(100))
        + b"0\r\n\r\n",
    ]
    if "-m http.server" in " ".join(map(str, stack.process.args if isinstance(stack.process.args, list) else ())):
        requests = requests[1:2]  # it answers 501 and leaves the rest lying there
    asyncio.run(compared(stack, requests))


def test_the_comparison_sees_what_it_should() -> None:
    one = b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nDate: x\r\nConnection: close\r\n\r\nbody"
    assert seen(one) == seen(one.replace(b"Date: x", b"Date: y").replace(b"Connection: close", b"Keep-Alive: 1"))
    for before, after in ((b"A: 1\r\nB: 2", b"B: 2\r\nA: 1"), (b"A:", b"a:"), (b"OK", b"Ok"), (b"body", b"bod"), (b"Date: x\r\n", b"")):
        assert seen(one) != seen(one.replace(before, after))
