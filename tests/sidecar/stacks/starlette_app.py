"""The paths of :mod:`tests.sidecar.stacks` in Starlette, for uvicorn."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.sidecar.stacks.data import BIG, COOKIES, ETAG, PACKED

FILE = Path(os.environ["STACK_FOLDER"]) / "page.txt"


def etag(request: Request) -> Response:
    if request.headers.get("if-none-match") == ETAG:
        return Response(status_code=304, headers={"ETag": ETAG})
    return PlainTextResponse("tagged", headers={"ETag": ETAG, "Cache-Control": "max-age=60"})


def file(request: Request) -> Response:
    return FileResponse(FILE)


def packed(request: Request) -> Response:
    return Response(PACKED, headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}, media_type="text/plain")


def chunked(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"part %d\n" % number * 100

    return StreamingResponse(parts(), media_type="text/plain")


def cookies(request: Request) -> Response:
    response = PlainTextResponse("baked")
    for cookie in COOKIES:
        response.headers.append("Set-Cookie", cookie)
        response.headers.append("X-Between", "yes")
    return response


def status(request: Request) -> Response:
    return PlainTextResponse("odd", status_code=request.path_params["code"])


def empty(request: Request) -> Response:
    return Response(b"")


def big(request: Request) -> Response:
    return Response(BIG)


async def post(request: Request) -> Response:
    body = await request.body()
    return Response(b"%d:" % len(body) + body[:100], media_type=request.headers.get("content-type"))


def echo(request: Request) -> Response:
    return Response(request.scope["raw_path"] + b" ? " + request.scope["query_string"])


app = Starlette(
    routes=[
        Route("/etag", etag),
        Route("/page.txt", file),
        Route("/packed", packed),
        Route("/chunked", chunked),
        Route("/cookies", cookies),
        Route("/status/{code:int}", status),
        Route("/empty", empty),
        Route("/big", big),
        Route("/post", post, methods=["POST"]),
        Route("/{rest:path}", echo),
    ]
)
