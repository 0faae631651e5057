"""The paths of :mod:`tests.sidecar.stacks` in Flask, for servers of WSGI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request, send_file

from tests.sidecar.stacks.data import BIG, COOKIES, PACKED

app = Flask(__name__)


@app.get("/etag")
def etag() -> Response:
    response = Response("tagged", headers={"Cache-Control": "max-age=60"})
    response.set_etag("a1b2")
    response.make_conditional(request)
    return response


@app.get("/page.txt")
def file() -> Response:
    return send_file(Path(os.environ["STACK_FOLDER"]) / "page.txt", conditional=True)


@app.get("/packed")
def packed() -> Response:
    return Response(PACKED, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}, mimetype="text/plain")


@app.get("/chunked")
def chunked() -> Response:
    def parts() -> Iterator[bytes]:
        for number in range(3):
            yield b"part %d\n" % number * 100

    return Response(parts(), mimetype="text/plain")


@app.get("/cookies")
def cookies() -> Response:
    response = Response("baked")
    for cookie in COOKIES:
        response.headers.add("Set-Cookie", cookie)
        response.headers.add("X-Between", "yes")
    return response


@app.get("/status/<int:code>")
def status(code: int) -> Response:
    return Response("odd", status=code)


@app.get("/empty")
def empty() -> Response:
    return Response(b"")


@app.get("/big")
def big() -> Response:
    return Response(BIG, mimetype="application/octet-stream")


@app.post("/post")
def post() -> Response:
    body = request.get_data()
    return Response(b"%d:" % len(body) + body[:100], mimetype=request.mimetype)


@app.get("/", defaults={"rest": ""})
@app.get("/<path:rest>")
def echo(rest: str) -> Response:
    names = ("RAW_URI", "REQUEST_URI", "PATH_INFO")  # what each server calls the path, unchanged where it can
    return Response(next(request.environ[name] for name in names if name in request.environ))
