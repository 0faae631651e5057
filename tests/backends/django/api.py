"""A user's sessions are listed and revoked one by one, in each engine and through both doors."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import UpdateError
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from django.utils import timezone

import sessionward
from sessionward import BackendUnavailable, Session, SessionRevoked
from sessionward.backends import Position, SessionList
from sessionward.backends.django import completeness, filling, index
from sessionward.backends.django.store import TableStore, store_of
from tests.backends.django.world import (
    DEADLINE,
    at_once,
    backend,
    bare,
    cookie_of,
    environ,
    everything,
    found,
    person,
    refused,
    rows,
    session,
    sign_in,
    store,
    visit,
    whom,
)
from tests.contract.doors import Answer, asgi_scope, ask_asgi, ask_wsgi


def listed(user: str, **page: Any) -> SessionList:
    return backend().list(user, **page)


def ids(sessions: SessionList) -> set[object]:
    return {each.id for each in sessions}


def revoked_one(own: str, other: Session | UUID, **settings: Any) -> bool:
    return backend(**settings).revoke_one(session(own), other.id if isinstance(other, Session) else other)


def ask(method: str, path: str, key: str | None, **headers: str) -> Answer:
    door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), api=True, backend_timeout=DEADLINE)
    return ask_wsgi(door, {**environ(method, f"/auth/sessions{path}", key), **headers})


def ask_async(method: str, path: str, key: str) -> Answer:
    door = sessionward.ASGIMiddleware(get_asgi_application(), backend(), api=True, backend_timeout=DEADLINE)
    scope = asgi_scope(method, f"/auth/sessions{path}", {"Cookie": f"{settings.SESSION_COOKIE_NAME}={key}"})
    return asyncio.run(ask_asgi(door, {**scope, "query_string": b"", "http_version": "1.1"}))


# --- the list ---------------------------------------------------------------------------------------------------------


def case_the_list_has_the_live_sessions_of_one_user_under_the_ids_that_find_gives_them() -> None:
    ann, bob = person("ann"), person("bob")
    keys, foreign = [sign_in(ann) for _ in range(3)], sign_in(bob)
    gone = sign_in(ann)
    visit("/logout", gone)
    visit("/cart/tea")
    known = listed(ann)
    assert ids(known) == {session(key).id for key in keys}
    assert (known.total, {each.user_id for each in known}, {each.credential for each in known}) == (3, {ann}, {None})
    assert known.now is not None
    assert ids(listed(bob)) == {session(foreign).id}
    assert list(listed("0")) == []
    own = session(keys[0])
    others = listed(ann, without=own.id)
    assert (len(others), others.total, own.id in ids(others)) == (2, 2, False)
    shown = repr(known) + repr(others)
    assert not any(key in shown for key in keys)


def case_pages_have_every_session_once() -> None:
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(5)]
    seen, after = [], None
    while page := listed(ann, after=after, limit=2):
        assert page.total == 5
        seen += [each.id for each in page]
        after = Position.of(page[-1])
    assert len(seen) == 5
    assert set(seen) == {session(key).id for key in keys}


def case_revoked_sessions_are_not_listed() -> None:
    ann = person("ann")
    own, other, third = sign_in(ann), sign_in(ann), sign_in(ann)
    assert revoked_one(own, session(other))
    assert ids(listed(ann)) == {session(key).id for key in (own, third)}
    backend().revoke_others(session(own))
    assert ids(listed(ann)) == {session(own).id}


def case_what_would_not_sign_the_user_in_is_not_listed() -> None:
    ann, bob = person("ann"), person("bob")
    own, foreign = sign_in(ann), sign_in(bob)
    assert len(listed(ann)) == 1
    index.write(store_of().using, [(foreign, ann)])
    assert ids(listed(ann)) == {session(own).id}
    user = get_user_model().objects.get(pk=ann)
    if not hasattr(user, "get_session_auth_hash"):
        return
    user.set_password("another one")
    user.save()
    assert list(listed(ann)) == []


def case_a_row_says_when_its_session_expires_and_an_expired_one_is_not_listed() -> None:
    if not isinstance(store_of(), TableStore):
        return
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    at = rows().get(session_key=own).expire_date
    assert session(own).expires_at == at
    assert {each.expires_at for each in listed(ann, without=session(other).id)} == {at}
    assert session(own).expires_at.tzinfo is UTC  # type: ignore[union-attr]
    rows().filter(session_key=other).update(expire_date=timezone.now() - timedelta(seconds=1))
    assert ids(listed(ann)) == {session(own).id}


def case_a_project_without_time_zones_says_the_same_times() -> None:
    if not isinstance(store_of(), TableStore):
        return
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        own = sign_in(person("ann"))
        shown = listed(session(own).user_id)
        assert shown.now is not None
        assert abs(datetime.now(UTC) - shown.now) < timedelta(minutes=1)
        for at in (session(own).expires_at, shown[0].expires_at):
            assert at is not None
            assert abs(shown.now + timedelta(seconds=settings.SESSION_COOKIE_AGE) - at) < timedelta(minutes=1)


def case_what_the_models_of_packages_know_is_shown() -> None:
    known = store_of()
    if not isinstance(known, TableStore) or "user_agent" not in {field.name for field in known.model._meta.fields}:
        return
    own = sign_in(person("ann"))
    row = rows().get(session_key=own)
    rows().filter(session_key=own).update(user_agent="B" * 300, ip="192.0.2.7")
    (shown,) = listed(session(own).user_id)
    for each in (shown, session(own)):
        assert (each.user_agent, each.ip_address) == ("B" * 300, "192.0.2.7")
        assert each.issued_at == getattr(row, "created_at", None)
        assert each.last_seen_at == getattr(row, "updated_at", getattr(row, "last_activity", None))
        assert each.authenticated_at is None


def case_p7_sessions_beyond_the_scan_limit_are_refused_until_the_index_is_complete() -> None:
    if not store_of().listable:
        return
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann, through=bare)
    completeness.mark_incomplete(store_of())
    refused(lambda: backend(scan_limit=0).list(ann), BackendUnavailable)
    refused(lambda: revoked_one(own, uuid4(), scan_limit=0), BackendUnavailable)
    filling.fill(store_of(), batch=10, progress=lambda _: None)
    assert len(backend(scan_limit=0).list(ann)) == 2
    refused(lambda: backend(scan_limit=0).for_sidecar().list(ann), BackendUnavailable)
    assert revoked_one(own, session(other), scan_limit=0)
    assert not revoked_one(own, uuid4(), scan_limit=0)
    assert whom(other) == "nobody"


def case_one_that_the_index_names_is_revoked_without_a_look_through_all() -> None:
    if not isinstance(store_of(), TableStore):
        return
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    assert revoked_one(own, session(other), scan_limit=0)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


# --- one --------------------------------------------------------------------------------------------------------------


def case_one_is_revoked_and_every_other_lives() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, third, foreign = sign_in(ann), sign_in(ann), sign_in(ann), sign_in(bob)
    victim = session(other)
    assert revoked_one(own, victim) is True
    assert [whom(key) for key in (own, other, third, foreign)] == [ann, "nobody", ann, bob]
    assert found(other) is None
    assert revoked_one(own, victim) is False
    assert whom(sign_in(ann)) == ann


def case_p8_an_id_of_another_user_of_nobody_and_ones_own_revoke_nothing() -> None:
    ann, bob = person("ann"), person("bob")
    own, foreign = sign_in(ann), sign_in(bob)
    for other in (session(foreign), uuid4(), session(own)):
        before = everything()
        assert revoked_one(own, other) is False
        after = everything()
        for table in ("sessionward_django_users", "sessionward_django_index"):
            before.pop(table, None), after.pop(table, None)
        assert after == before
    assert [whom(key) for key in (own, foreign)] == [ann, bob]


def case_p2_who_is_not_live_any_more_revokes_nobody() -> None:
    ann = person("ann")
    own, other, third = sign_in(ann), sign_in(ann), sign_in(ann)
    known, victim = session(own), session(third)
    assert revoked_one(other, known)
    refused(lambda: backend().revoke_one(known, victim.id), SessionRevoked)
    assert [whom(key) for key in (own, other, third)] == ["nobody", ann, ann]


def case_p2_of_two_that_revoke_each_other_one_is_left() -> None:
    for _ in range(3):
        ann = person(f"ann {uuid4()}")
        one, two = sign_in(ann), sign_in(ann)
        known = [session(one), session(two)]
        pairs = zip(known, reversed(known), strict=True)
        answers = at_once([lambda by=by, of=of: backend().revoke_one(by, of.id) for by, of in pairs])
        assert sorted(type(answer).__name__ for answer in answers) == ["SessionRevoked", "bool"], answers
        assert sorted(whom(key) == ann for key in (one, two)) == [False, True]


def case_p6_a_request_in_flight_of_the_victim_does_not_bring_it_back() -> None:
    from tests.backends.django.views import meanwhile

    ann = person("ann")
    own = sign_in(ann)
    for page in ("/slow-me", "/slow-cart/book"):
        key = sign_in(ann)
        victim = session(key)
        meanwhile.append(lambda victim=victim: revoked_one(own, victim))
        answer = visit(page, key)
        assert not meanwhile
        assert whom(key) == "nobody"
        assert not cookie_of(answer), answer
    assert whom(own) == ann


def case_p6_a_request_in_flight_that_gives_the_victim_a_new_key_does_not_save_it() -> None:
    if settings.DATABASES["default"].get("ATOMIC_REQUESTS") or settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return
    from tests.backends.django.views import meanwhile

    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    victim = session(other)
    meanwhile.append(lambda: at_once([lambda: revoked_one(own, victim)]))
    answer = visit("/slow-rotate", other)
    assert not meanwhile
    new = cookie_of(answer)
    assert new is None or whom(new) == "nobody"
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_a_session_that_has_got_a_new_key_has_a_new_id() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    before = session(other)
    new = cookie_of(visit("/rotate", other))
    assert new is not None
    assert revoked_one(own, before) is False
    assert whom(new) == ann
    assert ids(listed(ann)) == {session(own).id, session(new).id}
    assert revoked_one(own, session(new)) is True
    assert whom(new) == "nobody"


def case_p6_one_that_a_late_write_puts_back_is_neither_listed_nor_live() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    held = store()(other)
    held["cart"] = "book"
    assert revoked_one(own, session(other)) is True
    if store_of().revocation_sticks:
        with suppress(UpdateError):
            held.save()
    else:  # as a save does that was under way when the session was deleted
        held.save(must_create=True)
    assert ids(listed(ann)) == {session(own).id}
    assert whom(other) == "nobody"


def case_an_unseen_session_lives_on_while_another_one_is_revoked() -> None:
    """Only revoking all others refuses what a cache cannot list."""
    ann = person("ann")
    unseen, own, other = sign_in(ann, through=bare), sign_in(ann), sign_in(ann)
    assert revoked_one(own, session(other)) is True
    assert [whom(key) for key in (own, unseen, other)] == [ann, ann, "nobody"]


# --- both doors -------------------------------------------------------------------------------------------------------


def case_through_the_wsgi_door_the_cookie_of_django_asks_and_revokes() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, third, foreign = sign_in(ann), sign_in(ann), sign_in(ann), sign_in(bob)
    answer = ask("GET", "/whoami", own)
    said = json.loads(answer.body)
    assert (answer.status, said["id"], said["identity"]["external_id"]) == (200, str(session(own).id), ann)
    answer = ask("GET", "", own)
    assert answer.status == 200
    assert {each["id"] for each in json.loads(answer.body)} == {str(session(key).id) for key in (other, third)}
    assert not any(key in answer.body.decode() for key in (own, other, third, foreign))
    victim, bobs = session(other).id, session(foreign).id
    assert ask("DELETE", f"/{victim}", own, HTTP_SEC_FETCH_SITE="cross-site").status == 403
    assert whom(other) == ann
    for _ in range(2):
        assert ask("DELETE", f"/{victim}", own).status == 204
    assert ask("DELETE", f"/{bobs}", own).status == 204
    assert ask("DELETE", f"/{session(own).id}", own).status == 400
    assert [whom(key) for key in (own, other, third, foreign)] == [ann, "nobody", ann, bob]
    for method, path in (("GET", ""), ("GET", "/whoami"), ("DELETE", f"/{victim}")):
        assert ask(method, path, other).status == 401
        assert ask(method, path, None).status == 401


def case_through_the_asgi_door_too() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    victim = session(other).id
    assert json.loads(ask_async("GET", "/whoami", own).body)["id"] == str(session(own).id)
    assert [each["id"] for each in json.loads(ask_async("GET", "", own).body)] == [str(victim)]
    assert ask_async("DELETE", f"/{victim}", own).status == 204
    assert ask_async("GET", "/whoami", other).status == 401
    assert json.loads(ask_async("GET", "", own).body) == []
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]
    assert store()(own).exists(own)
