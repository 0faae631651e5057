"""A door without a server around it: one request, one answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sessionward
from sessionward.session.capabilities import Capabilities
from sessionward.testing.world import World
from sessionward.wsgi import Headers, StartResponse

SECRET: Final = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def wsgi_environ(method: str, path: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    return {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7", **fields}


def ask_wsgi(app: Any, environ: dict[str, Any]) -> Answer:
    heads: list[tuple[str, Headers]] = []

    def start_response(status: str, fields: Headers, exc_info: Any = None, /) -> Any:
        heads.append((status, fields))
        return None

    chunks = app(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    (status, fields) = heads[-1]
    return Answer(int(status[:3]), fields, body)


def asgi_scope(method: str, path: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": fields, "client": ("192.0.2.7", 1)}


async def ask_asgi(app: Any, scope: dict[str, Any]) -> Answer:
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *rest = messages
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
    return Answer(start["status"], headers, b"".join(message.get("body", b"") for message in rest))


def signed_in_through_the_door(world: World, user: Any) -> Exception | None:
    """Sign a user in by a request through the door of the backend's colour; what ``login`` raised, if it did."""
    raised: list[Exception] = []

    def wsgi(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            sessionward.of(environ).login(user)
        except Exception as error:
            raised.append(error)
        start_response("204 No Content", [])
        return []

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sessionward.of(scope).login(user)
        except Exception as error:
            raised.append(error)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    backend = world.backend
    if Capabilities.of(backend).is_async:
        answer = world.run(ask_asgi(sessionward.ASGIMiddleware(asgi, backend, secrets=[SECRET]), asgi_scope("POST", "/login")))
    else:
        answer = ask_wsgi(sessionward.WSGIMiddleware(wsgi, backend, secrets=[SECRET]), wsgi_environ("POST", "/login"))
    assert answer.status == 204
    assert any(name.lower() == "set-cookie" for name, _ in answer.headers) == (not raised)
    return raised[0] if raised else None
