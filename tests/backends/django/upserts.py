"""django-user-sessions puts a row back that is gone: it is refused all the same."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from django.core.wsgi import get_wsgi_application
from user_sessions.models import Session

import sessionward
from tests.backends.django.views import meanwhile
from tests.backends.django.world import backend, bare, delete, environ, everything, found, person, sign_in, visit, whom
from tests.contract.doors import ask_wsgi


def case_a_write_in_flight_puts_the_row_back_and_it_is_refused() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    meanwhile.append(lambda: delete(own))
    answer = visit("/slow-cart/book", other)
    assert answer.status == 200
    assert Session.objects.filter(session_key=other, user_id=ann).exists()
    assert bare("/me", other).body.decode() == f"{ann} book"
    assert whom(other) == "nobody"
    assert delete(other) == (401, None)
    assert delete(own) == (200, 0)
    assert whom(own) == ann


def case_without_the_record_it_would_be_alive() -> None:
    """The canary of the claim above."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    meanwhile.append(lambda: delete(own))
    visit("/slow-cart/book", other)
    ours = backend()
    del ours.which_revoked
    door = sessionward.WSGIMiddleware(get_wsgi_application(), ours)
    assert ask_wsgi(door, environ("GET", "/me", other)).body.decode() == f"{ann} book"


def case_looking_for_a_key_that_is_unknown_makes_no_row() -> None:
    ann = person("ann")
    sign_in(ann)
    before = everything()
    assert found("x" * 32) is None
    assert everything() == before
    bare("/me", "x" * 32)
    assert everything() != before, "the engine itself makes one: the reason not to load by it"
