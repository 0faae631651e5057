"""allauth headless, client ``app``: the session key travels in X-Session-Token, and leaves with the body of an answer."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application

import sessionward
from sessionward.backends.django.store import store_of
from tests.backends.django.late import kept
from tests.backends.django.views import meanwhile
from tests.backends.django.world import DEADLINE, backend, delete, environ, person, sign_in, whom
from tests.contract.doors import Answer, ask_wsgi

PASSWORD = "a-password-9182"


def app(method: str, path: str, token: str | None = None, body: Any = None) -> Answer:
    """The answer to a client that has no cookies, through the door."""
    door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), backend_timeout=DEADLINE)
    sent = json.dumps(body).encode() if body is not None else b""
    fields = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent)), "wsgi.input": BytesIO(sent)}
    came = {**environ(method, path), **fields}
    came.pop("HTTP_COOKIE", None)
    return ask_wsgi(door, came if token is None else {**came, "HTTP_X_SESSION_TOKEN": token})


def someone(name: str) -> str:
    pk = person(name)
    user = get_user_model().objects.get(pk=pk)
    user.set_password(PASSWORD)
    user.save()
    return pk


def app_sign_in(name: str) -> str:
    answer = app("POST", "/_allauth/app/v1/auth/login", body={"username": name, "password": PASSWORD})
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["meta"]["session_token"])


def signed_in(token: str) -> bool:
    answer = app("GET", "/_allauth/app/v1/auth/session", token)
    assert answer.status in (200, 401, 410), answer
    return answer.status == 200


def case_the_apps_own_call_ends_the_browsers_and_the_other_way_round() -> None:
    ann, bob = someone("ann"), someone("bob")
    browser, token, bystander = sign_in(ann), app_sign_in("ann"), app_sign_in("bob")
    answer = app("DELETE", "/auth/sessions", token)
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})
    assert [whom(browser), signed_in(token), signed_in(bystander)] == ["nobody", True, True]
    browser = sign_in(ann)
    assert delete(browser) == (200, 1)
    assert [whom(browser), signed_in(token), signed_in(bystander)] == [ann, False, True]
    assert app("DELETE", "/auth/sessions", token).status == 401
    assert whom(sign_in(bob)) == bob


def case_what_is_written_back_late_is_refused_in_the_header_too() -> None:
    if store_of().revocation_sticks:
        return
    browser, token = sign_in(someone("ann")), app_sign_in("ann")
    write_back = kept(token)
    assert delete(browser) == (200, 1)
    write_back()
    assert not signed_in(token)
    assert whom(token) == "nobody"


def case_the_app_signs_in_again_after_the_end() -> None:
    """Its key leaves with the body, so no door can note it."""
    browser = sign_in(someone("ann"))
    assert delete(browser) == (200, 0)
    token = app_sign_in("ann")
    assert signed_in(token)
    assert delete(browser) == (200, 1)
    assert not signed_in(token)


def case_a_new_key_in_a_body_does_not_take_the_login_along() -> None:
    browser, token = sign_in(someone("ann")), app_sign_in("ann")
    meanwhile.append(lambda: delete(browser))
    answer = app("GET", "/slow-app", token)
    assert (answer.status, meanwhile) == (200, [])
    new = json.loads(answer.body)["key"]
    assert new not in (None, token)
    assert not signed_in(new)
    assert not signed_in(token)


def case_a_new_key_in_a_body_stays_where_nothing_was_revoked() -> None:
    browser, token = sign_in(someone("ann")), app_sign_in("ann")
    new = json.loads(app("GET", "/slow-app", token).body)["key"]
    assert signed_in(new)
    assert delete(browser) == (200, 1)
    assert not signed_in(new)


def case_the_header_decides_over_the_cookie() -> None:
    ann, bob = someone("ann"), someone("bob")
    browser, token = sign_in(ann), app_sign_in("bob")
    door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), backend_timeout=DEADLINE)
    answer = ask_wsgi(door, {**environ("DELETE", "/auth/sessions", browser), "HTTP_X_SESSION_TOKEN": "x" * 32})
    assert answer.status == 401
    other = sign_in(bob)
    answer = ask_wsgi(door, {**environ("DELETE", "/auth/sessions", browser), "HTTP_X_SESSION_TOKEN": token})
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})
    assert [whom(browser), whom(other)] == [ann, "nobody"]
