"""The short way of a request with a live session: it builds no flow, and decides as the flow does, in both middlewares and the sidecar."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Any, NoReturn, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sessionward
from sessionward import ASGIMiddleware, Session, WSGIMiddleware
from sessionward.backends import AsyncBackend, Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.credential import token as tokens
from sessionward.credential.carriers import cookie_values, without_cookie
from sessionward.credential.token import Proofs, Signature, new_token
from sessionward.deadline import Asked
from sessionward.door.short_way import Recall
from sessionward.drive import AsyncDriver, SyncDriver, run_sync
from sessionward.lease import Leases
from sessionward.response.answer import Response
from sessionward.session.session import Checked, NewSession
from sessionward.session.steps import Check
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.gate import UNDECIDED, Admitted, Gate
from tests.support.core import NAME, OLD_SECRET, PAIR, RIVAL, SECRET, SIGNED, SIGNED_RIVAL, TOKEN, UNCHECKED, Field, environ_of, scope_of
from tests.support.sessions import new_session

ENDED = new_token().encode()
"""The token of a session that was revoked."""
OTHER = new_token().encode()
"""The token of another session of the same user."""
WHOAMI = "/auth/sessions/whoami"
SPA = b"https://spa.example"
REQUEST_ID = (b"x-request-id", b"0f8fad5b-d9cb-469f-a165-70867728950e")
"""So that error responses are equal."""


def signed(token: bytes, secret: str = SECRET) -> bytes:
    return Signature([secret.encode()], "cookie").sign(token)


def world() -> MemoryBackend:
    """Ada's two sessions, a revoked one, and Bob's."""
    backend = MemoryBackend()
    ended = backend.login(new_session("ada", ENDED))
    backend.revoke("ada", ended.id)
    for user, token in (("ada", TOKEN), ("ada", OTHER), ("bob", RIVAL)):
        backend.login(new_session(user, token, age=lambda: -1.0))
    return backend


def live(backend: MemoryBackend) -> object:
    known = [backend.find(Credential(token)) is not None for token in (TOKEN, OTHER, RIVAL, ENDED)]
    return known, len(backend.list("ada")), len(backend.list("bob"))


# --- one application for both middlewares -----------------------------------------------------------------------------

ACTS = ("answer", "set our cookie", "set it after a revocation", "login", "login as bob", "logout", "revoke_others", "revoke_all")


@dataclass(frozen=True)
class Plan:
    """What one request does: its fields, its path, and what the application does with it."""

    fields: Sequence[Field]
    act: str = "answer"
    reads: bool = True
    path: str = "/work"
    on_invalid: str = "strip"
    secrets: Sequence[str] = (SECRET, OLD_SECRET)

    @property
    def settings(self) -> Mapping[str, Any]:
        more = {"api": True, "trusted_origins": [SPA.decode()]} if self.path == WHOAMI else {}
        return {"secrets": self.secrets, "on_invalid": self.on_invalid, "exempt_paths": ["/static/"], "remote_user": True, **more}

    def verb(self, sessions: Any) -> Any:
        """Calls the verb of this plan. Under ASGI what it returns must be awaited."""
        verbs: Mapping[str, Callable[[], Any]] = {
            "login": partial(sessions.login, "ada"),
            "login as bob": partial(sessions.login, "bob"),
            "logout": sessions.logout,
            "revoke_others": sessions.revoke_others,
            "revoke_all": partial(sessions.revoke_all, "ada"),
        }
        return verbs[self.act]() if self.act in verbs else None

    def head(self, backend: MemoryBackend) -> list[tuple[str, str]]:
        if self.act == "set it after a revocation":
            backend.revoke_all("ada")
        sets = self.act.startswith("set")
        return [("content-type", "text/plain"), *([("set-cookie", (PAIR + b"; Path=/").decode())] if sets else [])]


Outcome = dict[str, object]
Switch = Callable[[Any], Recall | None]
"""Returns the short way that a middleware is to take, by the one that it has."""


def on(recall: Recall | None) -> Recall | None:
    assert recall is not None, "there is a short way to compare with"
    return recall


def off(recall: Recall | None) -> None:
    return None


def masked(head: Iterable[tuple[object, object]]) -> list[tuple[str, str]]:
    """A response head with the same name in place of each new token."""
    told = [(as_str(name).lower(), as_str(value)) for name, value in head]
    return [
        (name, re.sub(r"=[0-9A-Za-z]{32}\.[\w-]{43}", "=<new>", value) if PAIR.decode() not in value else value) for name, value in told
    ]


def unnamed(body: bytes | None) -> bytes | None:
    """A body without what differs between two worlds: the ids of sessions, and times."""
    return body and re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-[\dT:.]+Z", b"", body)


def as_str(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def finished(coroutine: Coroutine[Any, Any, object]) -> None:
    """Runs a coroutine that never waits."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


async def receive() -> NoReturn:
    raise AssertionError("nothing here reads a body")


def outcome_asgi(plan: Plan, switch: Switch) -> Outcome:
    backend, outcome, sent = world(), Outcome(), list[Any]()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        sessions = sessionward.of(scope)
        outcome["fields"] = list(scope["headers"])
        if plan.reads:
            outcome["user"] = None if sessions.current is None else sessions.current.user_id
        outcome["shown"] = re.sub(r"UUID\('[^']*'\)|datetime\.[^=]*=|generation=\d+", "", repr(sessions).split("issued_at")[0])
        if (done := attempted(outcome, partial(plan.verb, sessions))) is not None:
            try:
                await done
            except sessionward.SessionwardError as error:
                outcome["raised"] = type(error)
        head = [(name.encode(), value.encode()) for name, value in plan.head(backend)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"ok"})
        outcome["late"] = attempted(outcome, lambda: sessions.current) is not None

    async def send(message: Any) -> None:
        sent.append(message)

    middleware = ASGIMiddleware(application, backend, **plan.settings)
    middleware._hot = replace(middleware._hot, recall=switch(middleware._hot.recall))
    finished(middleware(scope_of(*plan.fields, REQUEST_ID, path=plan.path), receive, send))
    outcome["sent"] = [(message.get("status"), masked(message.get("headers", ())), unnamed(message.get("body"))) for message in sent]
    return {**outcome, "live": live(backend)}


def outcome_wsgi(plan: Plan, switch: Switch) -> Outcome:
    backend, outcome, sent = world(), Outcome(), list[Any]()

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        sessions = sessionward.of(environ)
        outcome["fields"] = {key: value for key, value in environ.items() if key.startswith("HTTP_")}
        outcome["remote user"] = environ.get("REMOTE_USER")
        if plan.reads:
            outcome["user"] = None if sessions.current is None else sessions.current.user_id
        attempted(outcome, partial(plan.verb, sessions))
        start_response("200 OK", plan.head(backend))
        outcome["late"] = attempted(outcome, lambda: sessions.current) is not None
        return [b"ok"]

    def start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        sent.append((status, masked(headers)))
        return sent.append

    middleware = WSGIMiddleware(application, backend, **plan.settings)
    middleware._hot = replace(middleware._hot, recall=switch(middleware._hot.recall))
    sent.extend(map(unnamed, middleware(environ_of(*plan.fields, REQUEST_ID, PATH_INFO=plan.path), start_response)))
    return {**outcome, "sent": sent, "live": live(backend)}


def attempted(outcome: Outcome, verb: Callable[[], Any]) -> Any:
    """Calls a verb, and notes what it raises."""
    try:
        return verb()
    except sessionward.SessionwardError as error:
        outcome["raised"] = type(error)
        return None


OUTCOMES = pytest.mark.parametrize("outcome", [outcome_asgi, outcome_wsgi], ids=["ASGI", "WSGI"])

# --- what a client may send -------------------------------------------------------------------------------------------

VALUES = [
    SIGNED,
    SIGNED_RIVAL,
    SIGNED[:-1],
    SIGNED + b"=",
    signed(ENDED),
    signed(TOKEN, OLD_SECRET),
    signed(new_token().encode()),
    TOKEN,
    b"",
]
PAIRS = [
    *(NAME + b"=" + value for value in VALUES),
    NAME + b" =" + SIGNED,
    b"x" + PAIR,
    NAME.lower() + b"=" + SIGNED,
    NAME,
    b"a=1",
    b"",
    b"=",
]
COOKIES = st.builds(
    lambda glue, pairs: glue.join(pairs), st.sampled_from([b"; ", b";", b" ;\t"]), st.lists(st.sampled_from(PAIRS), max_size=3)
)
BEARERS = [b"Bearer " + TOKEN, b"Bearer " + RIVAL, b"Basic YTpi", b"Bearer eyJ.x.y", b""]
FIELDS = st.lists(
    st.one_of(
        st.tuples(st.just(b"cookie"), COOKIES),
        st.tuples(st.just(b"cookie"), st.sampled_from([PAIR, b"theme=dark; " + PAIR, PAIR + b"; a=1"])),
        st.tuples(st.just(b"authorization"), st.sampled_from(BEARERS)),
        st.tuples(st.sampled_from([b"x-session-token", b"x_session_token"]), st.sampled_from([TOKEN, RIVAL, UNCHECKED, b"guest", b""])),
        st.just((b"accept", b"*/*")),
        st.tuples(st.just(b"origin"), st.sampled_from([SPA, b"https://evil.example"])),
    ),
    max_size=4,
)
PLANS = st.builds(
    Plan,
    FIELDS,
    st.sampled_from(ACTS),
    st.booleans(),
    st.sampled_from(["/work", "/work", WHOAMI, "/static/a.css", "/static/../work"]),
    st.sampled_from(["strip", "reject"]),
    st.sampled_from([(SECRET, OLD_SECRET), (SECRET,), (OLD_SECRET, SECRET)]),
)
OURS = (b"cookie", b"theme=dark; " + PAIR)
LONG_FIELD = (b"cookie", b"theme=" + 16_384 * b"d" + b"; " + PAIR)
REFUSED = (
    Plan([(b"cookie", NAME + b"=" + SIGNED[:-1])], on_invalid="reject"),
    Plan([OURS, (b"x-session-token", RIVAL)]),
    Plan([OURS, (b"authorization", b"Bearer " + RIVAL)]),
    Plan([(b"cookie", PAIR + b"; " + NAME + b"=" + SIGNED_RIVAL)]),
    Plan([(b"cookie", NAME + b"=" + signed(ENDED))]),
    Plan([OURS], path="/static/a.css"),
)


@OUTCOMES
@given(plan=PLANS)
def test_the_short_way_and_the_flow_decide_alike(outcome: Callable[[Plan, Switch], Outcome], plan: Plan) -> None:
    assert outcome(plan, on) == outcome(plan, off)


@OUTCOMES
@pytest.mark.parametrize("reads", [True, False], ids=["reads who it is", "does not read who it is"])
@pytest.mark.parametrize("act", ACTS)
def test_they_decide_alike_about_a_live_session(outcome: Callable[[Plan, Switch], Outcome], act: str, reads: bool) -> None:
    plan = Plan([OURS], act, reads)
    found = outcome(plan, on)
    assert found == outcome(plan, off)
    assert found.get("user") == ("ada" if reads else None)


ASKING = {
    "a cookie": ([OURS], 200),
    "from a trusted origin": ([OURS, (b"origin", SPA)], 200),
    "from another origin": ([OURS, (b"origin", b"https://evil.example")], 200),
    "in one of several fields": ([OURS, (b"cookie", b"a=1")], 200),
    "beside a bearer": ([OURS, (b"authorization", b"Bearer " + RIVAL)], 200),
    "beside a header": ([OURS, (b"x-session-token", RIVAL)], 200),
    "beside an underscored header": ([OURS, (b"x_session_token", RIVAL)], 200),
    "in a long field": ([LONG_FIELD], 431),
    "in the last of long fields": ([(b"cookie", b"a=1"), LONG_FIELD], 431),
    "of a revoked session": ([(b"cookie", NAME + b"=" + signed(ENDED))], 401),
    "a forged cookie": ([(b"cookie", NAME + b"=" + SIGNED[:-1])], 401),
    "another cookie": ([(b"cookie", b"a=1")], 401),
    "nothing": ([], 401),
}


@OUTCOMES
@pytest.mark.parametrize(("fields", "status"), ASKING.values(), ids=ASKING)
def test_they_answer_alike_who_is_calling(outcome: Callable[[Plan, Switch], Outcome], fields: Sequence[Field], status: int) -> None:
    found = outcome(Plan(fields, path=WHOAMI), on)
    assert found == outcome(Plan(fields, path=WHOAMI), off)
    assert str(status) in str(cast("list[Any]", found["sent"])[0][0])
    assert (b"access-control-allow-origin" in str(found["sent"]).lower().encode()) == ((b"origin", SPA) in fields)


@OUTCOMES
def test_a_short_way_that_looks_less_closely_is_noticed(outcome: Callable[[Plan, Switch], Outcome]) -> None:
    """The canary: it believes each cookie of our name, signed or not, live or not."""
    (known,) = list(world().list("ada"))[:1]

    def believing(recall: Recall | None) -> Recall:
        return lambda cookie: (known, Credential(TOKEN))

    differing = [plan for plan in REFUSED if outcome(plan, believing) != outcome(plan, off)]
    assert len(differing) == 3, "it is asked only about those whose one field is the cookie, on a path that is not exempt"


# --- that it is taken, and when ---------------------------------------------------------------------------------------


class FlowError(Exception):
    """A flow has been run."""


def no_flow(*_: object) -> NoReturn:
    raise FlowError


SHORT = {
    "one cookie": [(b"cookie", PAIR)],
    "among others": [(b"cookie", b"a=1; " + PAIR + b"; b=2")],
    "in one of several fields": [(b"cookie", b"a=1"), (b"cookie", PAIR)],
    "beside a bearer of the application": [(b"cookie", PAIR), (b"authorization", b"Bearer eyJ.x.y")],
}
LONG = {
    "a token in a header": [(b"x-session-token", TOKEN)],
    "a bearer": [(b"authorization", b"Bearer " + TOKEN)],
    "a cookie and a header": [(b"cookie", PAIR), (b"x-session-token", TOKEN)],
    "a cookie and an underscored header": [(b"cookie", PAIR), (b"x_session_token", TOKEN)],
    "two cookies": [(b"cookie", PAIR + b"; " + PAIR)],
    "a forged cookie": [(b"cookie", PAIR[:-1])],
    "a revoked session": [(b"cookie", NAME + b"=" + signed(ENDED))],
}


def is_short(fields: Sequence[Field], backend: Any, path: str = "/work", **settings: Any) -> bool:
    """Returns whether a request passes an ASGI middleware without a flow."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert sessionward.of(scope).current.user_id == "ada"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None: ...

    middleware = ASGIMiddleware(application, backend, secrets=[SECRET], **settings)
    middleware._door = replace(middleware._door, driver=cast("AsyncDriver", no_flow), sync=None)
    try:
        finished(middleware(scope_of(*fields, path=path), receive, send))
    except FlowError:
        return False
    return True


@pytest.mark.parametrize("fields", SHORT.values(), ids=SHORT)
def test_a_live_cookie_takes_no_flow(fields: Sequence[Field]) -> None:
    assert is_short(fields, world())


@pytest.mark.parametrize("fields", LONG.values(), ids=LONG)
def test_all_else_takes_the_flow(fields: Sequence[Field]) -> None:
    assert not is_short(fields, world())


def test_whoami_takes_no_flow_with_one_cookie_and_nothing_else() -> None:
    assert {name: is_short(fields, world(), WHOAMI, api=True) for name, fields in {**SHORT, **LONG}.items()} == {
        **dict.fromkeys([*SHORT, *LONG], False),
        "one cookie": True,
        "among others": True,
    }
    assert not is_short(SHORT["one cookie"], world(), "/auth/sessions", api=True)


def test_an_exempt_path_takes_the_flow() -> None:
    assert not is_short(SHORT["one cookie"], world(), "/static/a.css", exempt_paths=["/static/"])
    assert is_short(SHORT["one cookie"], world(), "/static/../a.css", exempt_paths=["/static/"])


class Waits(MemoryBackend):
    """The same sessions in a backend that may wait."""

    blocking = True


def test_under_asgi_a_backend_that_may_wait_is_asked_by_the_flow() -> None:
    backend = Waits()
    backend.login(new_session("ada", TOKEN))
    assert not is_short(SHORT["one cookie"], backend)


class Fails(MemoryBackend):
    """A backend that cannot answer."""

    def find(self, credential: Credential, /) -> Session | None:
        raise ConnectionError("it is away")


def test_what_a_failure_means_is_said_by_the_flow() -> None:
    """P7"""
    assert not is_short(SHORT["one cookie"], Fails())


# --- within a lease ---------------------------------------------------------------------------------------------------


class Leasing(Waits):
    """The same with leases of 2 s. ``asked``: how often it has been asked."""

    asked = 0

    def check(self, credential: Credential, /) -> Checked:
        self.asked += 1
        session = self.find(credential)
        return Checked(None) if session is None else Checked(session, remaining=3600.0, lease=2.0)

    def lease_wait(self) -> float:
        return 0.0

    def raise_lease(self, seconds: float, /) -> None: ...

    def set_lease(self, seconds: float, /) -> None: ...


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the leases."""
    moment = [1000.0]
    monkeypatch.setattr("sessionward.wsgi.clock", lambda: moment[0])
    return moment


@dataclass
class Visits:
    """A WSGI application behind a middleware, and who its caller was."""

    backend: Leasing
    lease: float

    def __post_init__(self) -> None:
        self.middleware = WSGIMiddleware(self._application, self.backend, secrets=[SECRET], lease=self.lease)

    def _application(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        sessions = sessionward.of(environ)
        start_response("200 OK", [])
        return [b"" if sessions.current is None else sessions.current.user_id.encode()]

    def __call__(self) -> bytes:
        def start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
            return lambda data: None

        return b"".join(self.middleware(environ_of(OURS), start_response))


def leasing() -> Leasing:
    backend = Leasing()
    backend.login(new_session("ada", TOKEN))
    return backend


def test_within_a_lease_no_question_is_asked(now: list[float]) -> None:
    visit = Visits(leasing(), lease=2.0)
    assert [visit(), visit(), visit()] == [b"ada"] * 3
    assert visit.backend.asked == 1
    now[0] += 1.79
    assert visit() == b"ada"
    assert visit.backend.asked == 1
    now[0] += 0.02
    assert visit() == b"ada"
    assert visit.backend.asked == 2


def test_after_the_lease_a_revoked_session_is_not_live_any_more(now: list[float]) -> None:
    visit = Visits(leasing(), lease=2.0)
    assert visit() == b"ada"
    visit.backend.revoke_all("ada")
    now[0] += 1.81
    assert visit() == b""


def test_what_this_worker_knows_to_have_ended_is_not_trusted(now: list[float]) -> None:
    visit = Visits(leasing(), lease=2.0)
    assert visit() == b"ada"
    leases = visit.middleware._mode.leases
    assert isinstance(leases, Leases)
    leases._ended[Credential(TOKEN).digest] = ("ada", now[0])
    assert visit() == b""


def test_without_a_lease_each_request_asks() -> None:
    visit = Visits(leasing(), lease=0.0)
    assert [visit(), visit()] == [b"ada"] * 2
    assert visit.backend.asked == 2


# --- backends that wait: under WSGI, where each request has a thread, and async ones under ASGI -----------------------


@dataclass
class Visit:
    """What came of one request to a WSGI application behind a backend that waits."""

    status: str = ""
    user: str | None = None
    took_a_flow: bool = False


class Scripted(Leasing):
    """It answers what it is told to. ``within`` keeps the seconds that each question gets."""

    def __init__(self, *answers: Checked | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.given: list[float] = []

    def within(self, timeout: float, /) -> Scripted:
        self.given.append(timeout)
        return self

    def check(self, credential: Credential, /) -> Checked:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def requested(backend: Scripted, *, before: Callable[[Leases], None] = lambda leases: None, path: str = "/work", **settings: Any) -> Visit:
    told = Visit()

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        current = sessionward.of(environ).current
        told.user = None if current is None else current.user_id
        start_response("200 OK", [])
        return []

    def start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
        told.status = status
        return lambda data: None

    middleware = WSGIMiddleware(application, backend, secrets=[SECRET], **settings)
    prepared(middleware, before, told)
    list(middleware(environ_of(OURS, PATH_INFO=path), start_response))
    return told


def requested_async(
    backend: Scripted, *, before: Callable[[Leases], None] = lambda leases: None, path: str = "/work", **settings: Any
) -> Visit:
    """The same under ASGI, over an async backend that answers alike."""
    told = Visit()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        current = sessionward.of(scope).current
        told.user = None if current is None else current.user_id
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        if "status" in message:
            told.status = f"{message['status']} {HTTPStatus(message['status']).phrase}"

    middleware = ASGIMiddleware(application, cast("AsyncBackend", Awaited(backend)), secrets=[SECRET], **settings)
    prepared(middleware, before, told)
    finished(middleware(scope_of(OURS, path=path), receive, send))
    return told


def prepared(middleware: Any, before: Callable[[Leases], None], told: Visit) -> None:
    """Has a middleware note whether it runs a flow."""
    assert isinstance(middleware._mode.leases, Leases)
    before(middleware._mode.leases)
    driver = middleware._door.driver

    def noted(*flow: Any) -> Any:
        told.took_a_flow = True
        return driver(*flow)

    middleware._door = replace(middleware._door, driver=noted)


class Awaited:
    """An async backend that answers as a sync one does."""

    def __init__(self, backend: Scripted) -> None:
        self._backend = backend

    def within(self, timeout: float, /) -> Awaited:
        self._backend.within(timeout)
        return self

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        if not callable(method):
            return method

        async def awaited(*args: Any, **more: Any) -> Any:
            return method(*args, **more)

        return awaited


REQUESTED = pytest.mark.parametrize("requested", [requested, requested_async], ids=["WSGI", "ASGI, async"])
Requested = Callable[..., Visit]

LIVE_SESSION = world().find(Credential(TOKEN))


@REQUESTED
def test_a_live_session_takes_no_flow_though_the_backend_waits(requested: Requested) -> None:
    backend = Scripted(Checked(LIVE_SESSION, remaining=3600.0))
    assert requested(backend) == Visit("200 OK", "ada", took_a_flow=False)
    assert backend.asked == 1


@REQUESTED
@pytest.mark.parametrize(
    ("answer", "on_invalid", "status"),
    [
        (Checked(None), "strip", "200 OK"),
        (Checked(None), "reject", "401 Unauthorized"),
        (Checked(None, user_id="ada", has_ended=True), "reject", "401 Unauthorized"),
        (ConnectionError("secret-host"), "strip", "503 Service Unavailable"),
        (sessionward.BackendUnavailable("it is away"), "reject", "503 Service Unavailable"),
    ],
    ids=["unknown", "unknown, rejected", "revoked", "a failure of the driver", "unavailable"],
)
def test_what_is_no_live_session_is_decided_by_the_flow_and_asked_once(
    requested: Requested, answer: Checked | Exception, on_invalid: str, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """P7. A second question would double the time of a database that does not answer."""
    backend = Scripted(answer)
    assert requested(backend, on_invalid=on_invalid) == Visit(status, None, took_a_flow=True)
    assert backend.asked == 1
    assert len([record for record in caplog.records if "Check" in record.getMessage()]) == isinstance(answer, Exception)
    assert "secret-host" not in caplog.text


@REQUESTED
@pytest.mark.parametrize(
    ("answer", "status", "flow"),
    [
        (Checked(LIVE_SESSION, remaining=3600.0), "200 OK", False),
        (Checked(None, user_id="ada", has_ended=True), "401 Unauthorized", True),
        (ConnectionError("secret-host"), "503 Service Unavailable", True),
    ],
    ids=["live", "revoked", "a failure of the driver"],
)
def test_whoami_asks_once(requested: Requested, answer: Checked | Exception, status: str, flow: bool) -> None:
    """P7"""
    backend = Scripted(answer)
    assert requested(backend, path=WHOAMI, api=True) == Visit(status, None, took_a_flow=flow)
    assert backend.asked == 1


def test_only_the_first_question_gets_the_first_answer() -> None:
    """P9: a flow that asks once more, later, asks the backend."""
    backend = Scripted(Checked(LIVE_SESSION))
    driver = SyncDriver(backend, 5.0, blocks=True)

    def twice() -> Any:
        return [(yield Check(Credential(TOKEN))), (yield Check(Credential(TOKEN)))]

    assert driver(twice(), Asked(Credential(TOKEN), monotonic(), Checked(None))) == [Checked(None), Checked(LIVE_SESSION)]
    backend.answers = [Checked(LIVE_SESSION)] * 2
    assert driver(twice(), Asked(Credential(OTHER), monotonic(), Checked(None))) == [Checked(LIVE_SESSION)] * 2, "of another credential"


class Alone:
    """An async backend with leases that keeps no timeout, and whose checks hang."""

    def __init__(self) -> None:
        self._backend = leasing()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)
        if not callable(method):
            return method

        async def awaited(*args: Any, **more: Any) -> Any:
            if name in ("check", "find"):
                await asyncio.sleep(3600)
            return method(*args, **more)

        return awaited


def test_p7_an_async_backend_that_keeps_no_timeout_is_asked_by_the_driver() -> None:
    """Which cancels the question when the time is up."""
    statuses: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("we do not know who is calling")

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    async def request() -> None:
        middleware = ASGIMiddleware(application, cast("AsyncBackend", Alone()), secrets=[SECRET], backend_timeout=0.05)
        async with asyncio.timeout(30):
            await middleware(scope_of(OURS), receive, send)

    asyncio.run(request())
    assert statuses[0] == 503


def test_the_time_of_the_first_question_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """P7: one deadline for a request, whoever asks."""
    moment = [0.0]
    monkeypatch.setattr("sessionward.door.short_way.monotonic", lambda: moment[0])
    monkeypatch.setattr("sessionward.deadline.monotonic", lambda: moment[0])

    class Slow(Scripted):
        def check(self, credential: Credential, /) -> Checked:
            moment[0] += 3.0
            return super().check(credential)

    backend = Slow(Checked(None, user_id="ada", has_ended=True))
    middleware = WSGIMiddleware(lambda environ, start_response: [], backend, secrets=[SECRET], backend_timeout=5.0)
    recall = middleware._hot.recall
    assert recall is not None
    asked = recall(PAIR)
    assert isinstance(asked, Asked)

    def two_questions() -> Any:
        first = yield Check(Credential(TOKEN))
        assert first.has_ended
        yield Check(Credential(TOKEN))

    backend.answers = [Checked(None)]
    middleware._door.driver(two_questions(), asked)
    assert backend.given == [5.0, 2.0]


@REQUESTED
def test_a_session_that_this_worker_knows_to_have_ended_is_not_asked_about(requested: Requested) -> None:
    """The backend may be a replica that lags, or the outcome of its revocation may be unknown."""
    backend = Scripted(Checked(LIVE_SESSION))

    def ended(leases: Leases) -> None:
        leases._ended[Credential(TOKEN).digest] = ("ada", 0.0)

    assert requested(backend, before=ended) == Visit("200 OK", None, took_a_flow=True)
    assert backend.asked == 0


@pytest.mark.parametrize("answer", [Checked(LIVE_SESSION, remaining=3600.0), Checked(None)], ids=["live", "unknown"])
def test_p3_a_request_is_as_old_as_it_is_though_it_was_asked_about_first(answer: Checked) -> None:
    """A sign-in in a request that began before a revocation is refused, however long the backend took to say who is calling."""
    moments = [100.0]
    ages: list[float] = []

    class Slow(Scripted):
        def check(self, credential: Credential, /) -> Checked:
            moments[0] += 3.0
            return super().check(credential)

        def login(self, new: NewSession, /) -> Session:
            ages.append(new.age())
            return super().login(new)

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        sessionward.of(environ).login("ben")
        start_response("200 OK", [])
        return []

    async def application_async(scope: Any, receive: Any, send: Any) -> None:
        await sessionward.of(scope).login("ben")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        for module in ("wsgi", "asgi", "door.handle", "door.short_way", "handle.answering", "streams.answering"):
            patch.setattr(f"sessionward.{module}.monotonic", lambda: moments[0])
        list(
            WSGIMiddleware(application, Slow(answer), secrets=[SECRET])(
                environ_of(OURS), lambda status, headers, exc_info=None: lambda data: None
            )
        )
        awaited = cast("AsyncBackend", Awaited(Slow(answer)))
        finished(ASGIMiddleware(application_async, awaited, secrets=[SECRET])(scope_of(OURS), receive, send))
    assert ages == [3.0, 3.0]


class AwayError(Exception):
    """A failure that can be watched."""


@REQUESTED
def test_a_request_that_failed_leaves_no_reference_cycle(requested: Requested) -> None:
    left: list[weakref.ref[AwayError]] = []

    class Away(Scripted):
        def check(self, credential: Credential, /) -> Checked:
            error = AwayError()
            left.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error

    gc.disable()
    try:
        assert requested(Away()).status == "503 Service Unavailable"
        assert left[0]() is None
    finally:
        gc.enable()


class AtOnce(Scripted):
    """It can answer without waiting, as SQLite in WAL mode."""

    answers_now = True

    def __init__(self, now: Checked | Exception | None, *answers: Checked | Exception) -> None:
        super().__init__(*answers)
        self.now = now

    def check_now(self, credential: Credential, /) -> Checked | None:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


@pytest.mark.parametrize("now", [None, ConnectionError("busy")], ids=["not now", "a failure"])
def test_what_cannot_be_answered_at_once_is_asked_in_the_ordinary_way(now: Exception | None) -> None:
    backend = AtOnce(now, Checked(LIVE_SESSION))
    assert requested(backend) == Visit("200 OK", "ada", took_a_flow=False)
    assert backend.asked == 1


def test_an_answer_at_once_takes_no_flow_in_either_middleware() -> None:
    live = AtOnce(Checked(LIVE_SESSION))
    assert requested(live) == Visit("200 OK", "ada", took_a_flow=False)
    assert is_short(SHORT["one cookie"], live)
    assert live.asked == 0
    for now in (None, Checked(None), ConnectionError("busy")):
        assert not is_short(SHORT["one cookie"], AtOnce(now))


# --- the sidecar ------------------------------------------------------------------------------------------------------


def told(admitted: object) -> object:
    """What the upstream gets, or the response in its place."""
    if isinstance(admitted, Response):
        return admitted.status, admitted.body
    assert isinstance(admitted, Admitted)
    context, session = admitted.context, admitted.session
    assert context is not None
    return list(admitted.fields), session, context.session, context.credential


def request_of(plan: Plan) -> Request:
    return Request(b"GET", plan.path.encode(), [*plan.fields, REQUEST_ID], "1.1")


@given(PLANS, st.booleans())
@example(Plan([OURS]), True)
@example(Plan([OURS]), False)
def test_the_gate_decides_alike_with_and_without_a_flow(plan: Plan, passes_cookie: bool) -> None:
    backend = world()
    gate = Gate(backend, {**plan.settings, "remote_user": False}, passes_cookie=passes_cookie)
    short, long = request_of(plan), request_of(plan)
    admitted = gate.at_once(short)
    asked = run_sync(gate.before(long), lambda step: step.ask(backend))
    if admitted is None:
        assert isinstance(asked, Admitted)
        assert (list(asked.fields), asked.session) == ([*plan.fields, REQUEST_ID], None)
    elif admitted is not UNDECIDED:
        assert told(admitted) == told(asked)
        assert short.session == long.session is not None


@pytest.mark.parametrize("fields", SHORT.values(), ids=SHORT)
def test_the_gate_needs_no_flow_for_a_live_cookie(fields: list[Field]) -> None:
    admitted = Gate(world(), {"secrets": [SECRET]}).at_once(Request(b"GET", b"/", fields, "1.1"))
    assert isinstance(admitted, Admitted)
    assert admitted.session is not None
    assert not any(NAME in value for _, value in admitted.fields)


@pytest.mark.parametrize("fields", LONG.values(), ids=LONG)
def test_the_gate_has_a_flow_decide_about_all_else(fields: list[Field]) -> None:
    gate = Gate(world(), {"secrets": [SECRET], "exempt_paths": ["/static/"]})
    assert gate.at_once(Request(b"GET", b"/", fields, "1.1")) is UNDECIDED
    assert gate.at_once(Request(b"GET", b"/static/a", SHORT["one cookie"], "1.1")) is UNDECIDED
    assert gate.at_once(Request(b"DELETE", b"/auth/sessions", SHORT["one cookie"], "1.1")) is UNDECIDED


# --- signatures that were verified ------------------------------------------------------------------------------------


class Counting(Signature):
    """Counts how often it makes an HMAC."""

    count = 0

    def verifies(self, value: bytes, signed: bytes) -> bool:
        self.count += 1
        return super().verifies(value, signed)


def test_a_signature_is_verified_once() -> None:
    signature = Counting([SECRET.encode()], "cookie")
    proofs = Proofs(signature)
    assert [proofs.credential(SIGNED) for _ in range(3)] == [Credential(TOKEN)] * 3
    assert signature.count == 1
    assert proofs.credential(SIGNED[:-1]) is None
    assert proofs.credential(SIGNED + b"=") is None
    assert signature.count == 3, "another signature of the same token is another value"


def test_only_valid_signatures_are_kept_and_no_token_is() -> None:
    proofs = Proofs(Signature([SECRET.encode()], "cookie"))
    for value in (SIGNED, SIGNED_RIVAL[:-1], UNCHECKED + SIGNED[32:], TOKEN, b"", b"x" * 5_000):
        proofs.credential(value)
    ((digest, kept),) = proofs._proven.items()
    assert (digest, kept) == (Credential(TOKEN).digest, SIGNED[32:])
    assert TOKEN not in digest + kept


def test_the_oldest_signature_is_dropped_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_PROVEN", 2)
    signature = Counting([SECRET.encode()], "cookie")
    proofs = Proofs(signature)
    first, second, third = (signature.sign(new_token().encode()) for _ in range(3))
    for value in (first, second, third, second, third):
        assert proofs.credential(value) is not None
    assert signature.count == 3
    assert proofs.credential(first) is not None
    assert signature.count == 4


# --- cookies ----------------------------------------------------------------------------------------------------------

WRITTEN = st.lists(st.sampled_from([PAIR, NAME, b"=", b"; ", b";", b" ", b"a=1", b"\t", b"x"]), max_size=8).map(b"".join)


@given(WRITTEN)
@example(b"a=1 ; " + PAIR)
@example(b"a " + PAIR)
@example(b"a=1;" + PAIR)
@example(PAIR + b" ; b=2 ")
def test_a_removed_cookie_leaves_all_other_bytes(field: bytes) -> None:
    kept = [pair for pair in field.split(b";") if pair.partition(b"=")[0].strip(b" \t") != NAME]
    assert without_cookie(field, NAME) == b";".join(kept).strip(b" \t")
    pairs = [pair.partition(b"=") for pair in field.split(b";")]
    assert cookie_values(field, NAME) == [value.strip(b" \t") for key, equals, value in pairs if equals and key.strip(b" \t") == NAME]
