"""fastapi-users with its own login and logout routes, its own table, and a door around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text
from starlette.testclient import TestClient

import sessionward
from sessionward.backends.table import AsyncTableBackend, Expires
from tests.backends.conftest import Place
from tests.backends.fastapi_users_app import LIFETIME, Base, create, make
from tests.contract.sql_world import ASYNCMY, ASYNCPG, PSYCOPG_ASYNC, SQLITE_ASYNC, Kind, safe_engine

PASSWORD = "correct horse"


class Site:
    """The application behind a door, and people who come to it."""

    def __init__(self, kind: Kind, url: str) -> None:
        self.url = make_url(url).set(drivername=kind.scheme)
        app, engine, self.meanwhile = make(self.url.set(drivername="mysql+asyncmy") if kind.database == "mariadb" else self.url)
        self._engine = safe_engine(url)
        asyncio.run(create(engine))
        self.backend = AsyncTableBackend(
            self.url,
            "accesstoken",
            key="token",
            user="user_id",
            cookie="fastapiusersauth",
            header="Authorization",
            scheme="Bearer",
            expires=Expires.created("created_at", lifetime=LIFETIME),
            timeout=10,
        )
        self.app = sessionward.ASGIMiddleware(app, self.backend, backend_timeout=10)
        for email in ("ann@example.org", "bob@example.org"):
            assert self.browser().post("/register", json={"email": email, "password": PASSWORD}).status_code == 201

    def browser(self) -> TestClient:
        return TestClient(self.app, base_url="https://testserver")

    def by_cookie(self, email: str = "ann@example.org") -> TestClient:
        browser = self.browser()
        assert browser.post("/cookie/login", data={"username": email, "password": PASSWORD}).status_code == 204
        return browser

    def by_bearer(self, email: str = "ann@example.org") -> TestClient:
        browser = self.browser()
        token = browser.post("/bearer/login", data={"username": email, "password": PASSWORD}).json()["access_token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        return browser

    def say(self, statement: str) -> Any:
        with self._engine.begin() as connection:
            return connection.execute(text(statement))

    def tokens(self) -> int:
        found: int = self.say("SELECT count(*) FROM accesstoken").scalar_one()
        return found

    def close(self) -> None:
        with self._engine.begin() as connection:
            self._drop(connection)
        self._engine.dispose()

    def _drop(self, connection: Connection) -> None:
        Base.metadata.drop_all(connection)


@pytest.fixture(params=[SQLITE_ASYNC, PSYCOPG_ASYNC, ASYNCPG, ASYNCMY], ids=str)
def site(request: pytest.FixtureRequest, place: Place) -> Iterator[Site]:
    site = Site(request.param, place(request.param.database))
    yield site
    site.close()


def state(*browsers: TestClient) -> list[int]:
    return [browser.get("/me").status_code for browser in browsers]


SignIn = Callable[[Site], TestClient]
transports = pytest.mark.parametrize("sign_in", [Site.by_cookie, Site.by_bearer], ids=["cookie", "bearer"])


@transports
def test_the_other_devices_are_out_and_the_caller_and_another_user_stay(site: Site, sign_in: SignIn) -> None:
    laptop, phone, tablet, bob = sign_in(site), site.by_cookie(), site.by_bearer(), site.by_cookie("bob@example.org")
    assert state(laptop, phone, tablet, bob) == [200] * 4
    answer = laptop.delete("/auth/sessions")
    assert (answer.status_code, answer.json()) == (200, {"count": 2})
    assert "set-cookie" not in answer.headers
    assert state(laptop, phone, tablet, bob) == [200, 401, 401, 200]
    assert laptop.delete("/auth/sessions").json() == {"count": 0}
    assert phone.delete("/auth/sessions").status_code == 401
    assert site.browser().delete("/auth/sessions").status_code == 401


@transports
def test_the_victim_signs_in_again_at_once(site: Site, sign_in: SignIn) -> None:
    laptop, _ = sign_in(site), sign_in(site)
    laptop.delete("/auth/sessions")
    assert state(laptop, sign_in(site)) == [200, 200]


@transports
def test_who_signed_out_by_the_applications_route_ends_nobody(site: Site, sign_in: SignIn) -> None:
    laptop, phone = sign_in(site), sign_in(site)
    path = "/bearer/logout" if "authorization" in phone.headers else "/cookie/logout"
    assert phone.post(path).status_code == 204
    assert phone.delete("/auth/sessions").status_code == 401
    assert state(laptop, phone) == [200, 401]


@pytest.mark.parametrize("path", ["/reads", "/writes"])
@transports
def test_a_request_of_the_victim_in_flight_does_not_bring_it_back(site: Site, sign_in: SignIn, path: str) -> None:
    laptop, phone = sign_in(site), sign_in(site)
    counts: list[Any] = []
    site.meanwhile.append(lambda: counts.append(laptop.delete("/auth/sessions").json()))
    answer = phone.get(path)
    assert counts == [{"count": 1}]
    assert (answer.status_code, answer.json()) == (200, "ann@example.org" if path == "/reads" else "stale")
    assert state(laptop, phone) == [200, 401]
    assert site.tokens() == 1


def test_p5_what_the_application_takes_for_expired_is_neither_counted_nor_deleted(site: Site) -> None:
    laptop, phone, old = site.by_cookie(), site.by_cookie(), site.by_cookie()
    token = old.cookies["fastapiusersauth"]
    back = {"sqlite": "datetime(created_at, '-2 hours')"}.get(site.url.get_backend_name(), "created_at - INTERVAL '2' HOUR")
    site.say(f"UPDATE accesstoken SET created_at = {back} WHERE token = '{token}'")
    assert state(laptop, phone, old) == [200, 200, 401]
    assert old.delete("/auth/sessions").status_code == 401
    assert laptop.delete("/auth/sessions").json() == {"count": 1}
    assert site.tokens() == 2


def test_two_tokens_of_which_one_is_in_the_header_are_decided_by_the_header(site: Site) -> None:
    laptop, phone = site.by_cookie(), site.by_bearer()
    both = site.browser()
    both.cookies.update(laptop.cookies)
    both.headers.update({"Authorization": phone.headers["Authorization"]})
    assert both.delete("/auth/sessions").json() == {"count": 1}
    assert state(laptop, phone) == [401, 200]
