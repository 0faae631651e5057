"""ATOMIC_REQUESTS: what a request that fails has saved is neither a session nor in the index."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import logging

from django.core.wsgi import get_wsgi_application

from sessionward.backends.django.tables import Entry
from tests.backends.django.world import bare, delete, environ, person, rows, sign_in, whom


def case_a_request_that_fails_leaves_nothing() -> None:
    ann = person("ann")
    own = sign_in(ann, through=bare)
    logging.disable(logging.CRITICAL)
    try:
        get_wsgi_application()(environ("GET", f"/broken/{ann}"), lambda *_: None).close()
    finally:
        logging.disable(logging.NOTSET)
    assert list(rows().values_list("session_key", flat=True)) == [own]
    assert list(Entry.objects.values_list("session_key", flat=True)) == [own]
    assert delete(own) == (200, 0)
    assert whom(own) == ann
