"""Real proxies that hand the session API to ``sessionward authz --api``, and nothing of it to the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from sessionward.backends.sql import SQLBackend
from tests.sidecar.engines import App, Engine, authz, engine
from tests.sidecar.town import Town

SESSIONS: Final = b"/auth/sessions"
TRUSTED: Final = b"Origin: https://trusted.example"


@pytest.fixture(scope="module")
def api_service(folder: Path) -> Iterator[int]:
    with authz(folder, "--api", "--trusted-origins", "https://trusted.example") as server:
        yield server.port


@pytest.fixture(scope="module")
def api(chosen: Engine, api_service: int, app: App, folder: Path, backend: SQLBackend) -> Iterator[Town]:
    """The town where the service answers the session API."""
    with engine(chosen, folder / f"{chosen}-api".replace(" ", "-"), authz=api_service, app=app.port, api=True) as server:
        yield Town(server.port, app, folder, backend, chosen.kind)


def test_each_call_is_answered_by_the_service(api: Town) -> None:
    user = f"behind {api.port}"
    own, other = (b"Cookie: " + api.login(user) for _ in range(2))
    answer = api.ask(SESSIONS + b"/whoami", own)
    assert (answer.status, answer.heads) == (200, [])
    whoami = json.loads(answer.body)
    assert whoami["identity"]["external_id"] == user
    answer = api.ask(SESSIONS + b"?page_size=1", own)
    assert (answer.status, answer.heads) == (200, [])
    assert b'rel="first"' in answer.head
    (listed,) = json.loads(answer.body)
    answer = api.ask(SESSIONS + b"/" + listed["id"].encode(), own, method=b"DELETE")
    assert (answer.status, answer.heads) == (204, [])
    assert api.ask(SESSIONS + b"/whoami", other).status == 401
    assert api.ask(SESSIONS + b"/" + whoami["id"].encode(), own, method=b"DELETE").status == 400
    answer = api.ask(SESSIONS, own, method=b"DELETE")
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 0})
    answer = api.ask(SESSIONS + b"/whoami", own, method=b"HEAD")
    assert (answer.status, answer.body, answer.heads) == (200, b"", [])
    assert api.ask(SESSIONS + b"/openapi.json").status == 200


def test_a_browser_gets_the_page_and_its_form_works(api: Town) -> None:
    user = f"browser behind {api.port}"
    own, other = (b"Cookie: " + api.login(user) for _ in range(2))
    answer = api.ask(SESSIONS, own, b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
    assert (answer.status, answer.heads) == (200, [])
    assert b"<title>" in answer.body
    assert b"content-security-policy: default-src 'none'" in answer.head.lower()
    form = SESSIONS + b"/revoke-others"
    for foreign in (b"Origin: https://evil.example", b"Sec-Fetch-Site: cross-site"):
        assert api.ask(form, own, foreign, b"Content-Length: 0", method=b"POST").status == 403
    answer = api.ask(form, own, b"Origin: http://app.example", b"Content-Length: 0", method=b"POST")
    assert (answer.status, answer.heads) == (303, [])
    assert (answer.location or b"").startswith(SESSIONS + b"?revoked=")
    assert api.ask(SESSIONS + b"/whoami", other).status == 401
    assert b"text/html" in api.ask(SESSIONS, b"Accept: text/html").head  # a refusal is a page, too


@pytest.mark.parametrize("path", [b"", b"/whoami", b"/", b"/openapi.json"])
def test_another_method_is_refused_and_does_not_reach_the_application(api: Town, path: bytes) -> None:
    answer = api.ask(SESSIONS + path, b"Cookie: " + api.login(), b"Content-Length: 0", method=b"POST")
    assert (answer.status, answer.heads) == (405, [])


@pytest.mark.parametrize("path", [b"/whoami/x", b"/a/b/c"])
def test_no_other_path_below_reaches_the_application(api: Town, path: bytes) -> None:
    answer = api.ask(SESSIONS + path, b"Cookie: " + api.login())
    assert (answer.status, answer.heads) == (404, [])


def test_a_path_beside_is_the_applications_and_checked(api: Town) -> None:
    for path in (b"/auth/sessionsx", b"/auth", b"/auth/session"):
        answer = api.ask(path, b"Cookie: " + api.login())
        assert (answer.status, len(answer.heads)) == (200, 1)
        refused = api.ask(path)
        assert (refused.status, refused.heads) == (401, [])


def test_a_cross_site_call_is_refused_and_a_preflight_of_a_trusted_origin_is_answered(api: Town) -> None:
    own = b"Cookie: " + api.login()
    assert api.ask(SESSIONS, own, b"Origin: https://evil.example", method=b"DELETE").status == 403
    answer = api.ask(SESSIONS, TRUSTED, b"Access-Control-Request-Method: GET", method=b"OPTIONS")
    assert (answer.status, answer.heads) == (204, [])
    assert b"https://trusted.example" in answer.head
    answer = api.ask(SESSIONS, own, TRUSTED)
    assert answer.status == 200
    assert b"x-total-count" in answer.head.lower().partition(b"access-control-expose-headers:")[2].partition(b"\r\n")[0]
