"""Attacks: what a user tries in order to learn of another user's sessions, or to change them.

Tried are ids, counts, pages, page tokens of others and of other sessions of the same user, errors, links, order, and time. What an
attack compares is the whole answer, byte for byte, without the id of the request.

Time was measured by ``python -m tests.api.timing`` on two cores that were busy otherwise (medians of 400, microseconds). SQLite:
revoking an unknown, a foreign and an ended id 194, 195 and 199, noise 2. PostgreSQL: 10213, 10123 and 9770, noise 518. All three
run the same statements. Lists of two users differ by 1 (SQLite, noise 1) and 23 (PostgreSQL, noise 31).
"""

from __future__ import annotations

import base64
import re
from typing import Any
from uuid import uuid4

import pytest

from sessionward.backends.sql import SQLBackend
from sessionward.backends.sql.executor import Executor
from tests.api.houses import NOBODY, Client, Opener, links, sign_in, without_request
from tests.doors.keepers import Keeper
from tests.doors.sides import SESSIONS, Answer


def house_of(open_house: Opener, keeper: Keeper, *users: str) -> list[Client]:
    """One session for each user named."""
    house = open_house(keeper.backend)
    return [sign_in(house, user, aside=keeper.aside) for user in users]


def token_of(client: Client, size: int = 1) -> str:
    """The token of the second page of a client's list."""
    return links(client.ask("GET", query=f"page_size={size}"))["next"].partition("page_token=")[2]


# --- by id ------------------------------------------------------------------------------------------------------------


def test_the_id_of_another_users_session_is_an_unknown_id(open_house: Opener, keeper: Keeper) -> None:
    ann, bob, ended = house_of(open_house, keeper, "ann", "bob", "bob")
    assert bob.ask("DELETE", f"/{ended.id}").status == 204
    for method in ("DELETE", "GET", "HEAD", "POST", "PUT", "PATCH"):
        answers = {repr(without_request(ann.ask(method, f"/{name}"))) for name in (bob.id, ended.id, str(NOBODY), str(uuid4()))}
        assert len(answers) == 1, method
    assert bob.is_live()


def test_the_ids_that_are_shown_are_no_credentials(open_house: Opener, keeper: Keeper) -> None:
    ann, other = house_of(open_house, keeper, "ann", "ann")
    (shown,) = ann.ask("GET").json()
    ids = [shown["id"], shown["devices"][0]["id"], shown["identity"]["id"], other.session.id.hex]
    for name in ids:
        for field in (("X-Session-Token", name), ("Authorization", f"Bearer {name}"), ("Cookie", f"__Host-session-ward={name}")):
            assert ann.house.ask("GET", f"{SESSIONS}/whoami", field).status == 401


@pytest.mark.parametrize(
    "victim", ["ann ", " ann", "Ann", "ANN", "ann\u0301", "an", "annn", "ann%00", "ann'--"], ids=lambda victim: ascii(victim)
)
def test_users_whose_ids_are_nearly_equal_do_not_see_each_other(open_house: Opener, keeper: Keeper, victim: str) -> None:
    ann, other = house_of(open_house, keeper, "ann", victim)
    assert (ann.listed(), other.listed()) == ([], [])
    assert ann.ask("DELETE", f"/{other.id}").status == 204
    assert ann.ask("DELETE").json() == {"count": 0}
    assert other.is_live()
    own, theirs = (client.ask("GET", "/whoami").json()["identity"]["id"] for client in (ann, other))
    assert own != theirs


# --- by count, order and links ----------------------------------------------------------------------------------------


def test_what_others_do_changes_no_byte_of_a_users_answers(open_house: Opener, keeper: Keeper) -> None:
    ann, _, _, _ = house_of(open_house, keeper, "ann", "ann", "ann", "ann")

    def seen() -> list[Any]:
        calls = [("GET", "", ""), ("GET", "", "page_size=2"), ("GET", "/whoami", ""), ("HEAD", "", ""), ("GET", "/openapi.json", "")]
        return [without_request(ann.ask(method, path, query=query)) for method, path, query in calls]

    before = seen()
    others = [sign_in(ann.house, user, aside=keeper.aside) for user in ("aaa", "ann2", "bob", "zzz", "bob")]
    assert seen() == before
    assert others[-1].ask("DELETE").json() == {"count": 1}
    assert others[0].ask("DELETE", f"/{others[1].id}").status == 204
    assert seen() == before


# --- by page tokens ---------------------------------------------------------------------------------------------------


def test_a_page_token_of_another_user_or_of_another_session_is_refused(open_house: Opener, keeper: Keeper) -> None:
    ann, phone, _, _ = house_of(open_house, keeper, "ann", "ann", "ann", "ann")
    bob, *_ = (sign_in(ann.house, "bob", aside=keeper.aside) for _ in range(3))
    token = token_of(ann)
    assert ann.ask("GET", query=f"page_token={token}").status == 200
    nonsense = without_request(ann.ask("GET", query="page_token=nonsense"))
    for client in (bob, phone):
        answer = client.ask("GET", query=f"page_token={token}")
        assert (answer.status, answer.error) == (400, "invalid_page")
        assert without_request(answer) == nonsense


def test_no_changed_page_token_is_accepted(open_house: Opener, keeper: Keeper) -> None:
    ann, *_ = house_of(open_house, keeper, "ann", "ann", "ann")
    token = token_of(ann)
    raw = base64.urlsafe_b64decode(token)
    changed = [bytes([*raw[:place], raw[place] ^ bit, *raw[place + 1 :]]) for place in range(len(raw)) for bit in (1, 0x80)]
    spelled = [base64.urlsafe_b64encode(each).decode() for each in [*changed, raw[:-1], raw + b"\0", b""]]
    for attempt in [*spelled, token + "=", token[:-1], token.lower(), f" {token}", f"{token}%0a", token + "%00"]:
        assert ann.ask("GET", query=f"page_token={attempt}").status == 400, attempt
    assert ann.ask("GET", query=f"page_token={token}").status == 200


def test_a_page_token_shows_no_user_and_no_credential(open_house: Opener, keeper: Keeper) -> None:
    ann, *_ = house_of(open_house, keeper, "ann", "ann", "ann")
    raw = base64.urlsafe_b64decode(token_of(ann))
    assert len(raw) == 36
    for secret in (b"ann", ann.token.encode(), ann.session.id.bytes):
        assert secret not in raw


def test_a_page_token_behind_a_session_that_is_gone_still_shows_only_the_users_own(open_house: Opener, keeper: Keeper) -> None:
    ann, *others = house_of(open_house, keeper, "ann", "ann", "ann", "ann")
    sign_in(ann.house, "bob", aside=keeper.aside)
    token, ids = token_of(ann), ann.listed()
    assert ann.ask("DELETE", f"/{ids[0]}").status == 204
    assert [each["id"] for each in ann.ask("GET", query=f"page_token={token}").json()] == ids[1:]
    assert len(others) == 3


# --- by errors --------------------------------------------------------------------------------------------------------


def test_an_error_says_nothing_of_sessions_or_users(open_house: Opener, keeper: Keeper) -> None:
    ann, bob = house_of(open_house, keeper, "ann", "bob")
    attempts: list[Answer] = [
        ann.ask("GET", query="page_size=0"),
        ann.ask("DELETE", f"/{ann.id}"),
        ann.ask("DELETE", "/nonsense"),
        ann.ask("POST", f"/{bob.id}"),
        ann.house.ask("GET", f"{SESSIONS}/whoami", ("X-Session-Token", bob.token[:-1] + "!")),
        ann.house.ask("GET", SESSIONS, ann.header, ("Authorization", f"Bearer {bob.token}")),
    ]
    for answer in attempts:
        assert answer.status >= 400
        shown = answer.body.decode() + repr(answer.fields)
        for word in (ann.token, bob.token, ann.id, bob.id, '"ann"', '"bob"'):
            assert word not in shown


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "%0d%0aset-cookie:a=b", "%22%7d", "\u00e9"])
def test_what_a_client_writes_into_the_path_is_not_repeated(open_house: Opener, keeper: Keeper, name: str) -> None:
    (ann,) = house_of(open_house, keeper, "ann")
    answer = ann.ask("DELETE", "/" + name.encode().decode("latin-1").replace("\u00c3\u00a9", "%C3%A9"))
    assert answer.status in (200, 400)  # with a slash in it, it is a path of the application
    assert not any(word in answer.body.decode() + repr(answer.fields) for word in ("script", "a=b", "é"))


# --- by the page ------------------------------------------------------------------------------------------------------

HTML = ("Accept", "text/html")
OWN_PAGE = ("Sec-Fetch-Site", "same-origin")


def page_of(client: Client, query: str = "") -> str:
    """The page, without the times that it shows."""
    answer = client.house.ask("GET", SESSIONS, client.cookie, HTML, OWN_PAGE, query=query)
    assert answer.status == 200
    assert answer.value("content-type").startswith("text/html")
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.]*", "", answer.body.decode())


def test_the_page_asks_about_and_shows_only_the_users_own_sessions(open_house: Opener, keeper: Keeper) -> None:
    ann, other, bob = house_of(open_house, keeper, "ann", "ann", "bob")
    shown = page_of(ann)
    assert other.id in shown
    assert bob.id not in shown
    assert page_of(ann, f"ask={other.id}") != shown
    asked = {page_of(ann, f"ask={name}").replace(name, "") for name in (bob.id, str(NOBODY), str(uuid4()))}
    assert len(asked) == 1


def test_a_form_says_the_same_of_a_foreign_an_unknown_and_an_ended_id(open_house: Opener, keeper: Keeper) -> None:
    ann, ended, bob = house_of(open_house, keeper, "ann", "ann", "bob")
    assert ann.ask("DELETE", f"/{ended.id}").status == 204
    pages: list[str] = []
    for name in (bob.id, ended.id, str(NOBODY)):
        answer = ann.house.ask("POST", f"{SESSIONS}/{name}/revoke", ann.cookie, OWN_PAGE)
        assert answer.status == 303
        pages.append(page_of(ann, answer.value("location").partition("?")[2]))
    assert len(set(pages)) == 1
    assert bob.is_live()


def test_a_receipt_is_shown_only_to_the_session_that_got_it(open_house: Opener, keeper: Keeper) -> None:
    ann, phone, _, bob = house_of(open_house, keeper, "ann", "ann", "ann", "bob")
    before = page_of(bob)
    answer = ann.house.ask("POST", f"{SESSIONS}/revoke-others", ann.cookie, OWN_PAGE)
    receipt = answer.value("location").partition("?")[2]
    assert page_of(bob, receipt) == before
    assert page_of(ann, receipt) != page_of(ann)
    assert not phone.is_live()


# --- by time ----------------------------------------------------------------------------------------------------------


def test_an_unknown_a_foreign_and_an_ended_id_ask_the_database_the_same(
    open_house: Opener, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of an answer is not asserted but its cause is: the statements. ``python -m tests.api.timing`` measures the time."""
    said: list[str] = []
    execute = Executor._execute

    def noted(executor: Executor, statement: Any, values: dict[str, Any], fetch: Any) -> Any:
        said.append(str(statement))
        return execute(executor, statement, values, fetch)

    monkeypatch.setattr(Executor, "_execute", noted)
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    house = open_house(backend)
    ann, ended, bob = (sign_in(house, user) for user in ("ann", "ann", "bob"))
    assert ann.ask("DELETE", f"/{ended.id}").status == 204
    statements: list[list[str]] = []
    for name in (str(NOBODY), bob.id, ended.id):
        said.clear()
        assert ann.ask("DELETE", f"/{name}").status == 204
        statements.append([*said])
    assert len(statements[0]) > 2
    assert statements[0] == statements[1] == statements[2]
