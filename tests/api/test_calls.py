"""One table of scenarios: each function is written once, and runs through every side of both doors and the sidecar's gate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from sessionward import BackendUnavailable, OutcomeUnknown, Session
from sessionward.api.session_object import session_object
from tests.api.houses import NOBODY, Client, Opener, at, links, sign_in, without_request
from tests.doors.keepers import Keeper, Memory
from tests.doors.sides import COOKIE, SESSIONS, Answer

OWN: Final = "https://app.example"
SPA: Final = "https://spa.example"
EVIL: Final = ("Origin", "https://evil.example")

READS: Final = [("GET", ""), ("HEAD", ""), ("GET", "/whoami"), ("HEAD", "/whoami")]
CHANGES: Final = [("DELETE", ""), ("DELETE", "/{other}"), ("DELETE", "/{own}"), ("DELETE", "/nonsense")]
CALLS: Final = [*READS, *CHANGES]
every_call = pytest.mark.parametrize(("method", "path"), CALLS, ids=[" ".join(call) for call in CALLS])
every_read = pytest.mark.parametrize(("method", "path"), READS, ids=[" ".join(call) for call in READS])
every_change = pytest.mark.parametrize(("method", "path"), CHANGES, ids=[" ".join(call) for call in CHANGES])

ALLOWED: Final = {
    "": "GET, HEAD, DELETE",
    "/whoami": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
    f"/{NOBODY}": "DELETE",
    "/nonsense": "DELETE",
}
OTHERS: Final = ("POST", "PUT", "PATCH", "TRACE", "QUERY", "CONNECT", "get")


def two_of(open_house: Opener, backend: Any = None, **settings: Any) -> tuple[Client, Client]:
    """Two sessions of one user; the later one is the other."""
    house = open_house(Memory() if backend is None else backend, **settings)
    return sign_in(house), sign_in(house)


def filled(path: str, own: Client, other: Client) -> str:
    return SESSIONS + path.replace("{own}", own.id).replace("{other}", other.id)


# --- who am I ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["header", "bearer", "cookie"])
def test_whoami_shows_the_session_that_the_credential_proves(open_house: Opener, keeper: Keeper, carrier: str) -> None:
    house = open_house(keeper.backend)
    client = sign_in(house, "ada", aside=keeper.aside)
    answer = house.ask("GET", f"{SESSIONS}/whoami", getattr(client, carrier))
    assert answer.status == 200
    shown = answer.json()
    assert shown["id"] == client.id
    assert shown["active"] is True
    assert shown["identity"]["external_id"] == "ada"
    assert [method["method"] for method in shown["authentication_methods"]] == ["password"]
    assert (shown["devices"][0]["ip_address"], shown["devices"][0]["user_agent"]) == ("192.0.2.7", "curl/8")
    assert at(shown["issued_at"]) <= at(shown["expires_at"])


@pytest.mark.parametrize(("used", "told"), [(5, "12:00:30Z"), (29, "12:00:30Z"), (45, "12:01:00Z"), (None, None)])
def test_the_last_use_is_told_to_a_minute_and_never_before_the_sign_in(used: float | None, told: str | None) -> None:
    start = datetime(2026, 1, 2, 12, 0, 30, tzinfo=UTC)
    session = Session(id=NOBODY, user_id="ann", issued_at=start, last_seen_at=None if used is None else start + timedelta(seconds=used))
    assert session_object(session)["last_seen_at"] == (told and f"2026-01-02T{told}")


def test_no_answer_has_a_credential_in_it(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, other = (sign_in(house, aside=keeper.aside) for _ in range(2))
    for method, path in CALLS:
        answer = house.ask(method, filled(path, own, other), own.cookie)
        for client in own, other:
            assert client.token.encode() not in answer.body + repr(answer.fields).encode()
        assert answer.values("set-cookie") == []


# --- my sessions ------------------------------------------------------------------------------------------------------


def test_the_list_has_the_other_live_sessions_of_the_user_the_newest_first(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    older, own, newer, ended = (sign_in(house, "ada", aside=keeper.aside) for _ in range(4))
    stranger = sign_in(house, "bob", aside=keeper.aside)
    assert own.ask("DELETE", f"/{ended.id}").status == 204
    answer = own.ask("GET")
    listed = [each["id"] for each in answer.json()]
    assert set(listed) == {older.id, newer.id}
    places = [(session.issued_at, session.id) for session in (older.session, newer.session)]
    assert listed == [str(name) for _, name in sorted(places, reverse=True)]
    assert answer.value("x-total-count") == "2"
    assert stranger.listed() == []


def test_following_the_links_reaches_every_session_once(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, *others = (sign_in(house, aside=keeper.aside) for _ in range(8))
    pages = own.pages(3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(each for page in pages for each in page) == sorted(other.id for other in others)


def test_a_list_without_others_is_empty_and_has_one_page(open_house: Opener, keeper: Keeper) -> None:
    own = sign_in(open_house(keeper.backend), aside=keeper.aside)
    answer = own.ask("GET")
    assert (answer.json(), answer.value("x-total-count")) == ([], "0")
    assert links(answer) == {"first": f"{SESSIONS}?page_size=250"}


def test_the_links_have_the_mount_point(open_house: Opener) -> None:
    if not open_house.is_mountable:
        pytest.skip("the sidecar has no mount point")
    own, _ = two_of(open_house)
    sign_in(own.house)
    decoded = {"root_path": "/a b", "SCRIPT_NAME": "/a b"}
    for mount, base in (("/shop", {}), ("/a%20b", decoded)):
        found = links(own.ask("GET", query="page_size=1", mount=mount, base=base))
        assert found["first"] == f"{mount}{SESSIONS}?page_size=1"
        assert found["next"].startswith(f"{mount}{SESSIONS}?page_size=1&page_token=")


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("page_size=0", id="no row"),
        pytest.param("page_size=501", id="too many"),
        pytest.param("page_size=-1", id="less than none"),
        pytest.param("page_size=", id="empty"),
        pytest.param("page_size=1.0", id="a fraction"),
        pytest.param("page_size=%D9%A1", id="a digit that is not ASCII"),
        pytest.param("page_size=00000000000000000001", id="leading zeros without end"),
        pytest.param("page_size=1&page_size=1", id="size twice"),
        pytest.param("page_token=", id="empty token"),
        pytest.param("page_token=AAAA", id="short token"),
        pytest.param("page_token=" + "A" * 48, id="a token that nobody made"),
        pytest.param("page_token=%FF", id="a token that is not ASCII"),
        pytest.param("page_token=a&page_token=a", id="token twice"),
    ],
)
def test_a_page_that_there_is_not_is_refused(open_house: Opener, query: str) -> None:
    own, _ = two_of(open_house)
    answer = own.ask("GET", query=query)
    assert (answer.status, answer.error) == (400, "invalid_page")


@pytest.mark.parametrize("query", ["", "page=7&per_page=x", "page_size=500", "x=%", "&&=&", "Page_Size=0"])
def test_other_parameters_are_ignored(open_house: Opener, query: str) -> None:
    own, other = two_of(open_house)
    assert [each["id"] for each in own.ask("GET", query=query).json()] == [other.id]


# --- revoke one -------------------------------------------------------------------------------------------------------


def test_a_session_that_is_revoked_by_its_id_is_not_live_and_the_others_are(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, other, third = (sign_in(house, aside=keeper.aside) for _ in range(3))
    answer = own.ask("DELETE", f"/{other.id}")
    assert (answer.status, answer.body) == (204, b"")
    assert not {"content-type", "content-length"} & {name for name, _ in answer.fields}
    assert [client.is_live() for client in (own, other, third)] == [True, False, True]


def test_the_id_may_be_in_capital_letters(open_house: Opener) -> None:
    own, other = two_of(open_house)
    assert own.ask("DELETE", f"/{other.id.upper()}").status == 204
    assert not other.is_live()


def test_an_unknown_a_foreign_and_an_ended_id_get_the_same_answer_as_a_live_one(open_house: Opener, keeper: Keeper) -> None:
    house = open_house(keeper.backend)
    own, other = (sign_in(house, aside=keeper.aside) for _ in range(2))
    stranger = sign_in(house, "bob", aside=keeper.aside)
    answers = [own.ask("DELETE", f"/{name}") for name in (other.id, other.id, stranger.id, str(NOBODY), str(uuid4()))]
    assert {(answer.status, tuple(answer.fields), answer.body) for answer in answers} == {(204, tuple(answers[0].fields), b"")}
    assert stranger.is_live()


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "0",
        "%20",
        "{" + str(NOBODY) + "}",
        f"urn:uuid:{NOBODY}",
        NOBODY.hex,
        f"{NOBODY}x",
        f"{NOBODY}%00",
        f"%30{str(NOBODY)[1:]}x",
        "..%2f",
        "%C3%A9",
        "*",
        f"{NOBODY};a=b",
    ],
)
def test_an_id_that_is_no_uuid_is_refused(open_house: Opener, name: str) -> None:
    own, other = two_of(open_house)
    answer = own.ask("DELETE", f"/{name}")
    assert (answer.status, answer.error) == (400, "invalid_session_id")
    assert other.is_live()


def test_the_callers_own_id_is_refused_and_its_session_lives(open_house: Opener) -> None:
    own, other = two_of(open_house)
    for name in own.id, own.id.upper():
        answer = own.ask("DELETE", f"/{name}")
        assert (answer.status, answer.error) == (400, "cannot_revoke_current_session")
        assert answer.json()["error"]["reason"].startswith("cannot revoke current session")
    assert own.is_live()
    assert other.is_live()


# --- the order of the statuses ----------------------------------------------------------------------------------------


@every_call
def test_the_statuses_come_in_the_order_of_the_contract(open_house: Opener, method: str, path: str) -> None:
    backend = Memory()
    own, other = two_of(open_house, backend)
    house, target = own.house, filled(path, own, other)
    long = ("Cookie", "a=" + "x" * 16_384)
    forged = ("Cookie", f"{COOKIE}=forged")
    changes = method == "DELETE"

    def status(*fields: tuple[str, str]) -> int:
        return house.ask(method, target, *fields).status

    assert status(long, own.header, other.bearer) == 431
    assert status(own.header, other.bearer, forged, EVIL) == 400
    assert status(own.header, (own.header[0], other.token)) == 400
    assert status(forged, EVIL) == (403 if changes else 401)
    assert status(own.cookie, EVIL) == (403 if changes else status(own.cookie))
    assert status() == 401
    assert status(forged) == 401
    backend.fail(BackendUnavailable("away"))
    assert status(own.cookie) == 503
    assert status(own.header) == 503
    backend.on_find = lambda: None
    expected = {"/{other}": 204, "/{own}": 400, "/nonsense": 400}.get(path, 200)
    assert status(own.bearer) == expected


@every_change
def test_a_page_of_another_site_changes_nothing_by_a_cookie(open_house: Opener, method: str, path: str) -> None:
    own, other = two_of(open_house, public_origin=OWN)
    for fields in ([EVIL], [("Sec-Fetch-Site", "same-site")], [("Origin", "null")]):
        answer = own.house.ask(method, filled(path, own, other), own.cookie, *fields)
        assert (answer.status, answer.error) == (403, "security_csrf_violation")
    assert other.is_live()


@every_call
def test_all_401s_are_alike(open_house: Opener, method: str, path: str) -> None:
    own, other = two_of(open_house)
    target = filled(path, own, other)
    assert own.ask("DELETE").status == 200  # so the other session is not live
    cookies = [[other.cookie], [("Cookie", f"{COOKIE}=forged")]]
    assert len({repr(without_request(own.house.ask(method, target, *fields))) for fields in cookies}) == 1
    assert {own.house.ask(method, target, *fields).status for fields in cookies} == {401}


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # two linters know fewer methods than HTTP has
@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_a_route_does_not_have_is_refused_and_the_right_ones_are_named(open_house: Opener, path: str, method: str) -> None:
    own, other = two_of(open_house)
    if method == "get" and open_house.place == "webtest":
        pytest.skip("WebTest writes methods in capital letters")
    answer = own.house.ask(method, SESSIONS + path, own.header)
    assert (answer.status, answer.error, answer.value("allow")) == (405, "method_not_allowed", ALLOWED[path])
    assert other.is_live()


@pytest.mark.parametrize("path", ["", "/whoami", "/openapi.json"])
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_head_is_answered_as_get_is_and_has_no_body(open_house: Opener, path: str, is_signed_in: bool) -> None:
    own, _ = two_of(open_house)
    fields = [own.header, ("X-Request-Id", "r")] if is_signed_in else [("X-Request-Id", "r")]
    get, head = (own.house.ask(method, SESSIONS + path, *fields) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (get.status, b"")
    assert sorted(head.fields) == sorted(get.fields)
    assert head.value("content-length") == str(len(get.body))


def test_head_on_a_route_without_get_is_refused_without_a_body(open_house: Opener) -> None:
    own, other = two_of(open_house)
    answer = own.ask("HEAD", f"/{other.id}")
    assert (answer.status, answer.body, answer.value("allow")) == (405, b"", "DELETE")


@pytest.mark.parametrize("path", ALLOWED)
def test_an_ordinary_options_request_is_the_applications(open_house: Opener, path: str) -> None:
    own, _ = two_of(open_house, trusted_origins=[SPA])
    assert own.house.ask("OPTIONS", SESSIONS + path, own.header).body == b"the application"


# --- other origins ----------------------------------------------------------------------------------------------------


def preflight(house: Any, path: str, origin: str, method: str) -> Answer:
    asked = [("Origin", origin), ("Access-Control-Request-Method", method), ("Access-Control-Request-Headers", "x-session-token")]
    answer: Answer = house.ask("OPTIONS", SESSIONS + path, *asked)
    return answer


@pytest.mark.parametrize("path", ALLOWED)
def test_a_preflight_of_a_trusted_origin_is_told_the_methods_of_the_route(open_house: Opener, path: str) -> None:
    own, _ = two_of(open_house, trusted_origins=[SPA])
    for method in "GET", "DELETE":
        answer = preflight(own.house, path, SPA, method)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.value("access-control-allow-methods") == ALLOWED[path]
        assert answer.value("access-control-allow-origin") == SPA
        assert answer.value("access-control-allow-headers") == "x-session-token"


@pytest.mark.parametrize("path", ALLOWED)
def test_a_preflight_of_any_other_origin_is_the_applications(open_house: Opener, path: str) -> None:
    own, _ = two_of(open_house, trusted_origins=[SPA])
    assert preflight(own.house, path, EVIL[1], "DELETE").body == b"the application"


@every_call
def test_a_trusted_origin_and_no_other_may_read_the_answer(open_house: Opener, method: str, path: str) -> None:
    own, other = two_of(open_house, trusted_origins=[SPA])
    for origin in SPA, EVIL[1]:
        answer = own.house.ask(method, filled(path, own, other), own.header, ("Origin", origin))
        readable = origin == SPA
        assert answer.values("access-control-allow-origin") == ([SPA] if readable else [])
        assert answer.values("access-control-allow-credentials") == (["true"] if readable else [])
        assert ("Origin" in answer.value("vary")) == readable
        exposed = ["Link, X-Total-Count"] if readable and path == "" and method != "DELETE" else []
        assert answer.values("access-control-expose-headers") == exposed


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/whoami", "/{other}"])
def test_a_trailing_and_a_doubled_slash_are_the_same_route(open_house: Opener, path: str) -> None:
    own, other = two_of(open_house)
    target = filled(path, own, other)
    method = "DELETE" if path == "/{other}" else "GET"
    expected = without_request(own.house.ask(method, target, own.header))
    assert expected[0] in (200, 204)
    for spelled in (f"{target}/", target.replace("/auth/", "/auth//"), target.replace("/sessions", "//sessions") + "/"):
        assert without_request(own.house.ask(method, spelled, own.header)) == expected


@pytest.mark.parametrize(
    "path", ["//auth/sessions/whoami", "/auth/sessions%2fwhoami", "/auth/sessions/whoami/x", "/auth/sessionsx", "/x/auth/sessions"]
)
def test_any_other_path_is_the_applications(open_house: Opener, path: str) -> None:
    own, _ = two_of(open_house)
    assert own.house.ask("GET", path, own.header).body == b"the application"


def test_the_path_is_a_setting(open_house: Opener) -> None:
    own, other = two_of(open_house, path="/account/devices")
    assert [each["id"] for each in own.house.ask("GET", "/account/devices", own.header).json()] == [other.id]
    assert own.house.ask("GET", "/account/devices/whoami", own.header).json()["id"] == own.id
    assert own.house.ask("GET", SESSIONS, own.header).body == b"the application"


# --- outages ----------------------------------------------------------------------------------------------------------


class Silent(Memory):
    """Fails where it is told to, and finds who is calling."""

    failure: Exception | None = None

    def list(self, *args: Any, **keywords: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return super().list(*args, **keywords)

    def revoke_one(self, *args: Any) -> bool:
        if self.failure is not None:
            raise self.failure
        return super().revoke_one(*args)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("HEAD", ""), ("DELETE", "/{other}")])
@pytest.mark.parametrize(
    "failure", [BackendUnavailable("canary"), OutcomeUnknown("canary"), RuntimeError("canary")], ids=["away", "unknown", "fault"]
)
def test_p7_a_backend_that_fails_is_503_never_an_empty_list_and_never_done(
    open_house: Opener, method: str, path: str, failure: Exception
) -> None:
    backend = Silent()
    own, other = two_of(open_house, backend)
    backend.failure = failure
    answer = own.house.ask(method, filled(path, own, other), own.header)
    assert answer.status == 503
    assert 1 <= int(answer.value("retry-after")) <= 5
    assert b"canary" not in answer.body
    assert answer.values("x-total-count") == []
    if method != "HEAD":
        assert answer.error == ("outcome_unknown" if isinstance(failure, OutcomeUnknown) else "backend_unavailable")


# --- the document, and without the API --------------------------------------------------------------------------------


def test_the_document_needs_no_credential_and_says_where_the_application_is(open_house: Opener) -> None:
    own, _ = two_of(open_house)
    mounts = ["", "/shop"] if open_house.is_mountable else [""]
    for mount in mounts:
        answer = own.house.ask("GET", f"{SESSIONS}/openapi.json", mount=mount)
        assert answer.status == 200
        assert answer.json()["servers"] == [{"url": mount or "/"}]
        assert answer.value("cache-control") == "no-store"
    assert own.house.ask("GET", f"{SESSIONS}/openapi.json", ("Cookie", f"{COOKIE}=forged"), EVIL).status == 200


@pytest.mark.parametrize(("method", "path"), [call for call in CALLS if call != ("DELETE", "")] + [("POST", ""), ("GET", "/openapi.json")])
def test_without_the_setting_all_but_one_route_pass_to_the_application(open_house: Opener, method: str, path: str) -> None:
    own, other = two_of(open_house, api=False)
    assert own.house.ask(method, filled(path, own, other), own.header).status == 200
    assert own.house.ask(method, filled(path, own, other)).status == 200
    assert other.is_kept()


def test_every_answer_has_the_headers_of_the_contract(open_house: Opener) -> None:
    own, other = two_of(open_house)
    for method, path in [*CALLS, ("POST", ""), ("GET", "/openapi.json")]:
        answer = own.house.ask(method, filled(path, own, other), own.header)
        assert answer.value("cache-control") == "no-store"
        assert {"Cookie", "Authorization", "X-Session-Token"} <= set(answer.value("vary").split(", "))
        assert answer.value("x-content-type-options") == "nosniff"
        if answer.body:
            assert answer.value("content-type") == "application/json; charset=utf-8"
            assert answer.value("content-length") == str(len(answer.body))
            json.loads(answer.body)


def test_ids_are_uuids_everywhere(open_house: Opener) -> None:
    own, _ = two_of(open_house)
    (shown,) = own.ask("GET").json()
    for name in (shown["id"], shown["identity"]["id"], shown["devices"][0]["id"]):
        assert str(UUID(name)) == name
