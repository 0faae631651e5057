"""nginx with a cache of checks: a check that is asked once passes for others, and never after its time."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Signature, new_token
from tests.sidecar.cached import checked, marked, probed
from tests.sidecar.conftest import SWITCHES
from tests.sidecar.engines import ENGINES, SECRET, App, Engine, authz, engine
from tests.sidecar.town import COOKIE, Answer, Town
from tests.support.services import missing
from tests.support.sessions import new_session

LEASE: Final = 1.0
"""Seconds: the shortest lease with which nginx, which counts whole seconds, trusts anything."""
LONG: Final = 5.0
NGINX: Final = [kind for kind in ENGINES if kind.kind == "nginx"]


@pytest.fixture(scope="module", params=NGINX, ids=str)
def chosen(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    if found.binary is None:
        missing(str(found), "it is not installed")
    return found


class Place:
    """A service with a lease, over sessions of its own."""

    def __init__(self, folder: Path, port: int, backend: SQLBackend) -> None:
        self.folder = folder
        self.port = port
        self.backend = backend


def placed(folder: Path, lease: float, *options: str) -> Iterator[Place]:
    folder.mkdir()
    backend = SQLBackend(f"sqlite:///{folder}/sessions.db")
    backend.create_tables()
    backend.set_lease(lease)
    with authz(folder, "--lease", str(lease), *options) as server:
        yield Place(folder, server.port, backend)
    backend.close()


@pytest.fixture(scope="module")
def short(folder: Path) -> Iterator[Place]:
    yield from placed(folder / "short", LEASE)


@pytest.fixture(scope="module")
def long(folder: Path) -> Iterator[Place]:
    yield from placed(folder / "long", LONG)


@pytest.fixture(scope="module")
def long_switched(folder: Path) -> Iterator[Place]:
    options = ["--preflight", "pass", "--exempt-paths", "/static/", "--exempt-paths", "/a$b/", "--login-url", "/login?a=b"]
    yield from placed(folder / "switched", LONG, *options)


class Cached(Town):
    """A town whose nginx has a cache in the folder ``cache``, and this master process."""

    cache: Path
    master: int


def towns(chosen: Engine, place: Place, app: App, name: str, change: Callable[[str], str] = str, **more: Any) -> Iterator[Cached]:
    """nginx with a cache before the service. ``change``: of its configuration, as somebody might write it."""

    def changed(text: str) -> str:
        return change(marked(text))

    # Not in a folder of pytest's: every other pytest that starts closes those to the workers of nginx.
    with tempfile.TemporaryDirectory(prefix="sessionward-") as made:
        os.chmod(made, 0o755)
        folder = place.folder / f"{chosen}-{name}".replace(" ", "-")
        with engine(chosen, folder, authz=place.port, app=app.port, cache=f"{made}/checks", change=changed, **more) as server:
            town = Cached(server.port, app, place.folder, place.backend, chosen.kind)
            town.cache, town.master = Path(made, "checks"), server.process.pid
            yield town


@pytest.fixture(scope="module")
def town(chosen: Engine, long: Place, app: App) -> Iterator[Cached]:
    yield from towns(chosen, long, app, "cached")


@pytest.fixture(scope="module")
def switched(chosen: Engine, long_switched: Place, app: App) -> Iterator[Cached]:
    yield from towns(chosen, long_switched, app, "switched", **{**SWITCHES, "exempt_paths": ["/static/", "/a$b/"]})


def is_hit(answer: Answer) -> bool:
    return checked(answer.head + b"\r\n") == b"HIT"


def asked_until_hit(town: Town, *fields: bytes, target: bytes = b"/", method: bytes = b"GET") -> Answer:
    """Returns the answer whose check came from the cache."""
    ends = time.monotonic() + 20
    while not is_hit(answer := town.ask(target, *fields, method=method)):
        assert answer.status == 200
        assert time.monotonic() < ends, "no check came from the cache"
        time.sleep(0.02)  # with a lease of one second, nothing is trusted in the first tenth of each second
    return answer


def hits(town: Town, *fields: bytes, target: bytes = b"/", method: bytes = b"GET") -> int:
    """Returns how many checks of ten equal requests came from the cache."""
    return sum(is_hit(town.ask(target, *fields, method=method)) for _ in range(10))


# --- what a hit is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["cookie", "token", "bearer"])
def test_a_check_from_the_cache_names_the_user_as_a_new_one_does(town: Town, carrier: str) -> None:
    cookie, token = town.login("ann@example.com"), new_token()
    town.backend.login(new_session("ann@example.com", token))
    given = {
        "cookie": b"Cookie: theme=dark; " + cookie,
        "token": b"X-Session-Token: " + token.encode(),
        "bearer": b"Authorization: Bearer " + token.encode(),
    }[carrier]
    first = town.ask(b"/", given)
    again = asked_until_hit(town, given)
    for name in (b"x-session-user", b"x-session-id", b"cookie", b"authorization", b"x-session-token"):
        assert again.values(name) == first.values(name)
    assert again.values(b"x-session-user") == [b"ann%40example.com"]
    assert b"set-cookie" not in again.head.lower()


def test_most_checks_are_hits(town: Town) -> None:
    assert hits(town, b"Cookie: " + town.login()) >= 8


def test_the_method_and_the_path_make_no_difference(town: Town) -> None:
    cookie = b"Cookie: " + town.login()
    town.ask(b"/", cookie)
    asked_until_hit(town, cookie, target=b"/other?a=b", method=b"POST")


def test_the_largest_credentials_that_pass_pass_from_the_cache_too(town: Town) -> None:
    cookie = b"Cookie: theme=" + b"x" * 15_000 + b"; " + town.login()
    answer = asked_until_hit(town, cookie, b"Authorization: Custom " + b"y" * 15_000)
    assert answer.values(b"x-session-user") == [b"ann"]
    assert [len(answer.values(name)[0]) > 15_000 for name in (b"cookie", b"authorization")] == [True, True]


def test_the_folder_is_for_nginx_alone(town: Cached) -> None:
    asked_until_hit(town, b"Cookie: " + town.login())
    assert town.cache.stat().st_mode & 0o077 == 0
    assert any(town.cache.rglob("*"))


# --- who gets one -----------------------------------------------------------------------------------------------------


def other_credentials(ann: bytes, eve: bytes) -> dict[str, tuple[bytes, ...]]:
    return {
        "nothing": (),
        "a cookie of the application": (b"Cookie: theme=dark",),
        "a forged one": (b"Cookie: " + ann[:-1] + (b"A" if ann[-1:] != b"A" else b"B"),),
        "one character less": (b"Cookie: " + ann[:-1],),
        "two sessions in one field": (b"Cookie: " + ann + b"; " + eve,),
        "two sessions in two fields": (b"Cookie: " + ann, b"Cookie: " + eve),
        "beside an invalid token": (b"Cookie: " + ann, b"X-Session-Token: " + new_token().encode()),
        "beside an invalid bearer": (b"Cookie: " + ann, b"Authorization: Bearer " + new_token().encode()),
        "in another field": (b"Authorization: " + ann,),
        "split over two fields": (b"Cookie: " + ann[:40], b"Authorization: " + ann[40:]),
    }


@pytest.mark.parametrize("name", other_credentials(b"a", b"b"))
def test_no_other_credential_hits_the_answer_of_a_live_session(town: Town, name: str) -> None:
    ann, eve = town.login("ann"), town.login("eve")
    for cookie in (ann, eve):
        asked_until_hit(town, b"Cookie: " + cookie)
    fields = other_credentials(ann, eve)[name]
    for _ in range(3):
        answer = town.ask(b"/", *fields)
        assert (answer.status, answer.heads, is_hit(answer)) == (401, [], False)


def test_each_user_gets_the_own_answer(town: Town) -> None:
    cookies = {user: town.login(user) for user in ("ann", "bob", "eve")}
    for _ in range(5):
        for user, cookie in cookies.items():
            assert town.ask(b"/", b"Cookie: " + cookie).values(b"x-session-user") == [user.encode()]


def test_a_refusal_is_not_kept(town: Town) -> None:
    token = new_token()
    signed = b"Cookie: " + COOKIE + b"=" + Signature([SECRET.encode()], "cookie").sign(token.encode())
    for _ in range(3):
        assert town.ask(b"/", signed).status == 401
    town.backend.login(new_session("ann", token))
    assert town.ask(b"/", signed).status == 200


def test_an_outage_is_not_kept(town: Town) -> None:
    cookie = b"Cookie: " + town.login()
    (town.folder / "flag").touch()
    try:
        for _ in range(3):
            assert town.ask(b"/", cookie).status == 503
    finally:
        (town.folder / "flag").unlink()
    assert town.ask(b"/", cookie).status == 200


def test_a_revocation_and_a_refusal_that_wait_for_the_longest_lease_arrive(town: Town) -> None:
    mine, other, revoked = town.login("zoe"), town.login("zoe"), town.login("yan")
    asked_until_hit(town, b"Cookie: " + other)
    town.backend.within(2.0).revoke_all("yan")  # which does not wait
    began = time.monotonic()

    def waited(status: int, *fields: bytes, target: bytes = b"/", method: bytes = b"GET") -> bool:
        return town.ask(target, *fields, method=method).status == status and time.monotonic() - began > LONG

    with ThreadPoolExecutor() as threads:
        ended = threads.submit(waited, 200, b"Cookie: " + mine, target=b"/auth/sessions", method=b"DELETE")
        refused = threads.submit(waited, 401, b"Cookie: " + revoked)
        assert (ended.result(), refused.result()) == (True, True)


# --- where the path or a preflight decides ----------------------------------------------------------------------------

ASKING: Final = (b"Origin: https://other.example", b"Access-Control-Request-Method: PUT")


@pytest.mark.parametrize("target", [b"/static/a", b"/static/a?b", b"/a$b/c"])
def test_an_exempt_path_gets_no_identity_from_the_cache(switched: Town, target: bytes) -> None:
    cookie = b"Cookie: " + switched.login()
    asked_until_hit(switched, cookie)
    for _ in range(2):
        answer = switched.ask(target, cookie)
        assert (answer.status, is_hit(answer)) == (200, False)
        assert b"".join(answer.values(b"x-session-user")) == b""
    assert asked_until_hit(switched, cookie, target=b"/other").values(b"x-session-user") == [b"ann"]


def test_a_path_that_only_begins_as_an_exempt_one_is_checked(switched: Town) -> None:
    for _ in range(2):
        assert switched.ask(b"/static/a").status == 200
        assert switched.ask(b"/static/../a").status in (400, 401)
        assert switched.ask(b"/static/%2e%2e/a").status == 401


def test_a_preflight_gets_no_identity_from_the_cache(switched: Town) -> None:
    cookie = b"Cookie: " + switched.login()
    asked_until_hit(switched, cookie, method=b"OPTIONS")
    for _ in range(2):
        answer = switched.ask(b"/", cookie, *ASKING, method=b"OPTIONS")
        assert (answer.status, is_hit(answer)) == (200, False)
        assert b"".join(answer.values(b"x-session-user")) == b""
    asked_until_hit(switched, cookie, method=b"OPTIONS")


def test_the_way_to_the_sign_in_page_is_not_kept(switched: Town) -> None:
    html = b"Accept: text/html"
    for page in (b"/a", b"/b"):
        answer = switched.ask(page, html)
        assert (answer.status, answer.location) == (
            302,
            f"http://app.example:{switched.port}/login?a=b&return_to=%2F{page.decode()[1:]}".encode(),
        )
    assert switched.ask(b"/a").status == 401
    assert asked_until_hit(switched, html, b"Cookie: " + switched.login()).status == 200


# --- never after its time ---------------------------------------------------------------------------------------------

HOSTILE: Final = (
    "proxy_cache_valid any 1m; proxy_ignore_headers Cache-Control X-Accel-Expires Set-Cookie; proxy_cache_lock on;"
    " proxy_cache_use_stale updating error timeout http_503; proxy_cache_background_update on;\n"
)
"""What another part of the configuration may set for all servers."""


def trusting(setting: str) -> Callable[[str], str]:
    """Returns a change of the configuration after which nginx trusts answers for too long."""

    def change(text: str) -> str:
        for line in ("proxy_cache_use_stale   off;", "proxy_cache_background_update off;", "proxy_ignore_headers    Expires;"):
            assert line in text
            if line.partition(" ")[0] in setting:
                text = text.replace(line, "")
        before = "proxy_cache             sessionward_checks;"
        assert before in text
        return text.replace(before, f"{before} {setting}")

    return change


@pytest.mark.parametrize(("lease", "rounds"), [(LEASE, 3), (2 * LEASE, 2)], ids=["as it is printed, 1 s", "below other settings, 2 s"])
def test_no_request_that_begins_after_a_revocation_passes(chosen: Engine, folder: Path, app: App, lease: float, rounds: int) -> None:
    """P1, by real clocks: two workers of nginx, two of the service, and hundreds of sessions that are revoked while they ask for pages."""
    change = str if lease == LEASE else lambda text: HOSTILE + text
    for place in placed(folder / f"kept-{chosen}-{lease}".replace(" ", "-"), lease, "--workers", "2"):
        for town in towns(chosen, place, app, "kept", change, workers=2):
            seen = probed(town, callers=20, rounds=rounds)
            assert (seen.late, seen.hurt) == ([], [])
            assert seen.trials == 80 * rounds
            assert seen.hits > 200


TOO_LONG: Final = {
    "seconds from the answer": "proxy_cache_valid 204 1s; proxy_ignore_headers X-Accel-Expires Cache-Control;",
    "stale while updating": "proxy_cache_use_stale updating; proxy_cache_background_update on;",
}


@pytest.mark.parametrize("setting", TOO_LONG.values(), ids=TOO_LONG)
def test_the_same_clients_find_a_cache_that_trusts_for_too_long(chosen: Engine, short: Place, app: App, setting: str) -> None:
    for town in towns(chosen, short, app, f"canary-{len(setting)}", trusting(setting), workers=2):
        assert probed(town, callers=20, rounds=1).late


def test_a_service_without_a_lease_is_asked_each_time_whatever_is_set_elsewhere(chosen: Engine, app: App, folder: Path) -> None:
    for place in placed(folder / f"without-{chosen}".replace(" ", "-"), 0.0):
        for town in towns(chosen, place, app, "without", lambda text: HOSTILE + text):
            assert hits(town, b"Cookie: " + town.login()) == 0
            assert hits(town) == 0


def test_a_cache_that_ignores_cache_control_would_keep_answers_of_a_service_without_a_lease(chosen: Engine, app: App, folder: Path) -> None:
    change = trusting("proxy_ignore_headers Cache-Control;")
    for place in placed(folder / f"ignoring-{chosen}".replace(" ", "-"), 0.0):
        for town in towns(chosen, place, app, "ignoring", lambda text: HOSTILE + change(text)):
            assert hits(town, b"Cookie: " + town.login()) > 0


def test_a_worker_of_nginx_that_stood_still_does_not_pass_a_revoked_session(chosen: Engine, short: Place, app: App) -> None:
    service = Town(short.port, app, short.folder, short.backend, chosen.kind)
    for town in towns(chosen, short, app, "stopped"):
        found = subprocess.run(["pgrep", "-P", str(town.master), "-f", "worker process"], capture_output=True, check=True)
        worker = int(found.stdout)
        for turn in range(3):
            mine, other = (town.login(f"stopped-{turn}") for _ in range(2))
            asked_until_hit(town, b"Cookie: " + other)
            os.kill(worker, signal.SIGSTOP)
            try:
                assert service.ask(b"/auth/sessions", b"Cookie: " + mine, method=b"DELETE").status == 200
                later = town.open(b"/", b"Cookie: " + other, until=b"")  # it waits in the socket
            finally:
                os.kill(worker, signal.SIGCONT)
            with later:
                later.settimeout(10)
                assert later.recv(100).startswith(b"HTTP/1.1 401 ")
