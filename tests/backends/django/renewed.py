"""An answer that gives another key than its request came with is looked at; all others cost no question."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

import sessionward
from sessionward import BackendUnavailable
from sessionward.backends import Credential
from sessionward.backends.django.index import Index
from sessionward.backends.django.store import KeyValueStore, TableStore, store_of
from sessionward.backends.django.tables import UNDER_WAY, User, user_digest
from tests.backends.django.rotated import complete, lives
from tests.backends.django.views import meanwhile
from tests.backends.django.world import (
    DEADLINE,
    at_once,
    backend,
    bare,
    cookie_of,
    delete,
    drop_ours,
    environ,
    person,
    queries,
    sign_in,
    tables,
    visit,
    whom,
)
from tests.contract.doors import Answer, ask_wsgi


@contextmanager
def seen_by_the_door_alone() -> Iterator[None]:
    """As in front of a sidecar: the process that saves the sessions has no backend of ours."""
    receivers, request_started.receivers = request_started.receivers, []
    request_started.sender_receivers_cache.clear()
    with patch.object(Index, "_note_later"):
        try:
            yield
        finally:
            request_started.receivers = receivers


def case_a_login_does_not_go_along_under_a_new_key() -> None:
    for index_is_complete in (False, True):
        ann, bob = person(f"ann {index_is_complete}"), person(f"bob {index_is_complete}")
        own, other, bystander = sign_in(ann), sign_in(ann), sign_in(bob)
        if index_is_complete:
            complete()
        meanwhile.append(lambda own=own: delete(own))
        answer = visit("/slow-rotate", other)
        assert not meanwhile
        assert cookie_of(answer) is None
        assert [whom(key) for key in (own, other, bystander)] == [ann, "nobody", bob]
        assert delete(own) == (200, 0)


def case_nor_where_only_the_door_sees_the_answer() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    meanwhile.append(lambda: delete(own))
    with seen_by_the_door_alone():
        answer = visit("/slow-rotate", other)
    assert cookie_of(answer) is None
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_nor_where_no_door_sees_the_answer() -> None:
    """Its key may have left with the body. Where a store writes back, what goes around the door is not covered."""
    if not store_of().revocation_sticks:
        return
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    meanwhile.append(lambda: delete(own))
    assert not lives(bare("/slow-rotate", other), ann)


def case_nor_by_an_odd_spelling_of_the_cookie() -> None:
    ann = person("ann")
    own = sign_in(ann)
    for spelling in ('sessionid="{most}\\{last:03o}"', "\x0bsessionid={other}", "sessionid={own}; sessionid={other}"):
        other = sign_in(ann)
        spelled = spelling.format(own=own, other=other, most=other[:-1], last=ord(other[-1]))
        meanwhile.append(lambda: delete(own))
        door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), backend_timeout=DEADLINE)
        answer = ask_wsgi(door, {**environ("GET", "/slow-rotate"), "HTTP_COOKIE": spelled})
        meanwhile.clear()
        assert not lives(answer, ann), spelled
    assert whom(own) == ann


def case_a_row_that_is_gone_when_it_is_to_be_revoked_is_looked_for_anew() -> None:
    """Without a door: between the listing and the lock, the session has got another key."""
    if not store_of().listable:
        return
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    kind: type[TableStore | KeyValueStore] = type(store_of())
    scan = kind.scan
    answers: list[Any] = []

    def slowly(self: Any, user_id: str, limit: int) -> set[str]:
        found = scan(self, user_id, limit)
        if not answers:
            with seen_by_the_door_alone():
                answers.extend(at_once([lambda: bare("/rotate", other)]))
        return found

    with patch.object(kind, "scan", slowly):
        assert delete(own) == (200, 1)
    assert not lives(answers[0], ann)
    assert whom(own) == ann


def case_a_browser_that_was_signed_out_signs_in_again_at_once() -> None:
    ann, bob = person("ann"), person("bob")
    own = sign_in(ann)
    for user in (ann, bob, ann):
        other = sign_in(ann)
        assert delete(own)[0] == 200
        again = sign_in(user, through=lambda path, other=other: visit(path, other))
        assert whom(again) == user


def case_another_user_who_signs_in_meanwhile_stays() -> None:
    ann, bob = person("ann"), person("bob")
    own, other = sign_in(ann), sign_in(ann)
    if not store_of().revocation_sticks:
        return  # there the whole answer loses its cookies (P9)
    with patch("tests.backends.django.views.login", signs_in_late(own)):
        answer = visit(f"/login/{bob}", other)
    assert lives(answer, bob)


def signs_in_late(own: str) -> Any:
    from django.contrib.auth import login

    def late(request: Any, user: Any) -> None:
        request.session.get("cart")
        delete(own)
        login(request, user)

    return late


def case_the_caller_that_renews_its_own_key_keeps_it() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    new = str(cookie_of(visit("/rotate", own)))
    assert delete(new) == (200, 1)
    assert [whom(key) for key in (new, own, other)] == [ann, "nobody", "nobody"]


def case_a_time_that_nobody_has_dated_refuses_one_answer_and_no_more() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    delete(own)
    User.objects.filter(user=user_digest(ann)).update(revoked_at=UNDER_WAY)
    assert [lives(visit(f"/login/{ann}", other), ann) for _ in range(2)] == ([False, True] if store_of().revocation_sticks else [True] * 2)


def case_a_backend_that_is_silent_costs_the_cookie_of_who_came_with_a_session() -> None:
    ann = person("ann")
    other = sign_in(ann)
    with patch.object(Index, "renew", side_effect=BackendUnavailable):
        assert cookie_of(visit("/rotate", other)) is None
        assert cookie_of(visit(f"/login/{ann}")) is not None


def case_without_our_tables_nothing_was_revoked() -> None:
    ann = person("ann")
    other = sign_in(ann)
    if not store_of().revocation_sticks:
        return
    drop_ours()
    with seen_by_the_door_alone():
        assert lives(visit("/rotate", other), ann)
    assert not [name for name in tables() if name.startswith("sessionward")]


def case_ordinary_answers_cost_no_question() -> None:
    if not store_of().revocation_sticks:
        return
    ann = person("ann")
    own = sign_in(ann)
    for page in ("/me", "/cart/tea"):
        with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
            assert asked_by_the_door(page, own) == []


def asked_by_the_door(page: str, key: str) -> list[str]:
    """The statements beyond those that the page itself costs, the index included."""
    door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), backend_timeout=DEADLINE)
    alone = queries(lambda: ask_wsgi(get_wsgi_application(), environ("GET", page, key)))
    answers: list[Answer] = []
    behind = queries(lambda: answers.append(ask_wsgi(door, environ("GET", page, key))))
    assert cookie_of(answers[0]) == key, "it is set with each answer"
    return behind[len(alone) :]


def case_what_django_made_itself_is_told_by_the_door() -> None:
    ann = person("ann")
    own = sign_in(ann)
    ours = backend()
    assert ours.renewed(Credential(own.encode()), [], float)
    assert ours.renewed(Credential(b"no key"), [Credential(own.encode())], float)
    assert settings.SESSION_COOKIE_NAME == "sessionid"
