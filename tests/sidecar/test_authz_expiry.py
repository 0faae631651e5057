"""Until when nginx may trust an answer to a check: never longer than this worker, and only if it names a live session."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from math import floor
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential, new_token
from sessionward.errors import InvalidCredential
from sessionward.lease import Leases, NoLeases
from sessionward.session.assertion import LIFETIME
from sessionward.session.session import Checked, Session
from sessionward.session.steps import Check
from sessionward.settings import MAX_LEASE
from sessionward.sidecar.authz.expiry import expires
from sessionward.sidecar.authz.settings import AuthzSettings
from tests.companion.identifiers import Signed, sealed
from tests.sidecar.checks import Field, Service, Signs, cookie, invalid

CREDENTIAL: Final = Credential(new_token().encode())


class For(NoLeases):
    """Trusts every session for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def trusted_for(self, digest: bytes) -> float:
        return self._seconds


@pytest.mark.parametrize(
    ("now", "left", "value"),
    [
        (10.0, 1.8, b"@10"),
        (10.1, 1.8, b"@10"),
        (10.3, 1.8, b"@11"),
        (10.1, 0.9, b"@10"),
        (10.05, 0.9, b"0"),
        (10.9, 0.05, b"0"),
        (10.5, 0.0, b"0"),
        (10.9, 4.5, b"@14"),
    ],
)
def test_an_answer_expires_before_the_trust_in_it(now: float, left: float, value: bytes) -> None:
    assert expires(For(left), CREDENTIAL, now) == value


def test_nginx_never_trusts_an_answer_for_longer_than_we_do() -> None:
    """It takes ``@n`` as long as its clock, rounded down, is at most n."""
    numbers = random.Random(9)
    told = 0
    for _ in range(20_000):
        now, left = numbers.uniform(1.7e9, 1.9e9), numbers.uniform(0, MAX_LEASE)
        value = expires(For(left), CREDENTIAL, now)
        if value != b"0":
            last = int(value.removeprefix(b"@"))
            assert floor(now) <= last
            assert last + 1 <= now + left
            assert last + 2 > now + left  # it is the latest such time
            told += 1
    assert told > 10_000


def test_without_a_credential_nothing_is_trusted() -> None:
    assert expires(For(5.0), None, 10.0) == b"0"


def test_an_answer_from_the_lease_is_trusted_for_what_is_left_of_it() -> None:
    now = 0.0
    leases = Leases(5.0, waiters=1, clock=lambda: now)
    flow = leases.find(CREDENTIAL)
    assert isinstance(next(flow), Check)
    now = 1.0  # the answer was on its way for a second
    with pytest.raises(StopIteration):
        flow.send(Checked(Session(id=uuid4(), user_id="ann"), False, "ann", 3600.0, 5.0, 5.0))
    wall = 1_000.0
    assert expires(leases, CREDENTIAL, wall + now) == b"@1003"  # 4.5 s from the beginning of the question
    now = 3.0
    assert expires(leases, CREDENTIAL, wall + now) == b"@1003"
    now = 4.4
    assert expires(leases, CREDENTIAL, wall + now) == b"0"


def test_an_assertion_lives_longer_than_any_answer() -> None:
    assert LIFETIME > MAX_LEASE


# --- the answers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SQLBackend]:
    made = SQLBackend(f"sqlite:///{tmp_path}/sessions.db")
    made.create_tables()
    made.set_lease(2.0)
    yield made
    made.close()


ROUTES: Final = ("/authz", "/authz/nginx", "/authz/200", "/authz/forward", "/authz/envoy/a", "/authz/optional", "/authz/optional/nginx")


@pytest.mark.parametrize("route", ROUTES)
def test_the_answer_that_names_a_live_session_says_when_it_expires(backend: SQLBackend, route: str) -> None:
    service = Service(backend, lease=2.0, signer=Signs())
    fields = service.ask(route, cookie(service.login())).fields
    assert next(iter(fields)) == "x-accel-expires"  # before Cache-Control, or nginx 1.22 does not keep the answer
    assert fields["x-accel-expires"] == "@5"  # the clock of the service says 5.0
    assert fields["cache-control"] == "no-store"
    assert fields["x-session-user"] == "ann"
    assert "set-cookie" not in fields


def test_the_wall_clock_is_read_before_the_lease(backend: SQLBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stands still between the two says a time that is too early, and not one that is too late."""
    read: list[str] = []

    def wall() -> float:
        read.append("wall")
        return 5.0

    def trusted_for(digest: bytes) -> float:
        read.append("lease")
        return leases.trusted_for(digest)

    service = Service(backend, lease=2.0, clock=wall)
    leases = copy(service.gate.mode.leases)
    monkeypatch.setattr(service.gate.mode.leases, "trusted_for", trusted_for)
    service.ask("/authz/nginx", cookie(service.login()))
    assert read == ["wall", "lease"]


PREFLIGHT: Final = (("Origin", "https://other.example"), ("Access-Control-Request-Method", "PUT"))


def asked(target: str, method: str = "GET") -> list[Field]:
    return [("X-Original-Method", method), ("X-Original-URI", target)]


OTHERS: Mapping[str, tuple[str, int, Callable[[Service], list[Field]]]] = {
    "anonymous": ("/authz/optional/nginx", 204, lambda _: []),
    "invalid, where it passes": ("/authz/optional/nginx", 204, lambda service: [invalid(service)]),
    "exempt": ("/authz/nginx", 204, lambda service: [cookie(service.login()), *asked("/static/a")]),
    "a preflight": ("/authz/nginx", 204, lambda service: [cookie(service.login()), *asked("/", "OPTIONS"), *PREFLIGHT]),
    "refused": ("/authz/nginx", 401, lambda _: []),
    "revoked": ("/authz/nginx", 401, lambda service: [invalid(service)]),
    "sent to the sign-in page": ("/authz/nginx", 401, lambda _: [*asked("/a"), ("Accept", "text/html")]),
    "sent there by us": ("/authz/envoy/a", 302, lambda _: [("Accept", "text/html")]),
    "no route": ("/authz/x", 401, lambda service: [cookie(service.login())]),
    "two tokens": ("/authz/nginx", 401, lambda service: [("X-Session-Token", service.login()), ("X-Session-Token", service.login())]),
}


@pytest.mark.parametrize(("route", "status", "fields"), OTHERS.values(), ids=OTHERS)
def test_no_other_answer_is_kept(backend: SQLBackend, route: str, status: int, fields: Callable[[Service], list[Field]]) -> None:
    passes = AuthzSettings.of(preflight="pass", exempt_paths=["/static/"], login_url="/login")
    service = Service(backend, lease=0.2, passes=passes)
    backend.set_lease(0.2)
    answer = service.ask(route, *fields(service))
    assert (answer.status, answer.fields["x-accel-expires"]) == (status, "0")


def test_a_stranger_and_an_outage_are_not_kept(backend: SQLBackend) -> None:
    service = Service(backend, lease=2.0)
    assert service.ask("/authz/nginx", cookie(service.login()), is_trusted=False).fields["x-accel-expires"] == "0"
    given = cookie(service.login())
    service.backend = object()
    answer = service.ask("/authz/nginx", given)
    assert (answer.status, answer.fields["x-accel-expires"]) == (503, "0")


@pytest.mark.parametrize("lease", [{}, {"lease": 0.0}], ids=["by default", "0"])
def test_without_a_lease_the_answers_are_what_they_were(backend: SQLBackend, lease: Any) -> None:
    service = Service(backend, **lease)
    for fields in ([cookie(service.login())], []):
        assert "x-accel-expires" not in service.ask("/authz/optional/nginx", *fields).fields


def test_a_backend_without_leases_is_never_trusted() -> None:
    service = Service(MemoryBackend(), lease=2.0)
    assert service.ask("/authz/nginx", cookie(service.login())).fields["x-accel-expires"] == "0"


def test_an_answer_that_depends_on_the_login_of_the_application_is_never_kept(backend: SQLBackend) -> None:
    """That login can end, or name another user, while the lease of the companion goes on: the next check shows it at once."""
    identifier = Signed()
    service = Service(backend, lease=2.0, identify=identifier)
    companion = cookie(service.login("ann"))[1]
    both = ("Cookie", f"session={sealed('ann.1')}; {companion}")
    for _ in range(2):  # the second time, the companion is known from the lease
        live = service.ask("/authz/nginx", both)
        assert (live.status, live.fields["x-session-user"], live.fields["x-accel-expires"]) == (204, "ann", "0")

    def over() -> None:
        raise InvalidCredential("the application has ended it")

    identifier.before = over
    ended = service.ask("/authz/optional/nginx", both)
    assert (ended.fields["x-session-user"], ended.fields["x-accel-expires"]) == ("", "0")


def test_a_companion_without_its_login_names_nobody(backend: SQLBackend) -> None:
    service = Service(backend, lease=2.0, identify=Signed())
    companion = cookie(service.login("ann"))[1]
    for login in ("", f"session={sealed('eve.1')}; ", f"session={sealed('-.1')}; "):
        alone = service.ask("/authz/optional/nginx", ("Cookie", login + companion))
        assert (alone.fields["x-session-user"], alone.fields["x-accel-expires"]) == ("", "0")
