"""A database that takes what it is sent and says nothing: everybody is told within the deadline."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from typing import Any, Final
from unittest.mock import patch

from django.core.wsgi import get_wsgi_application
from django.db import connection, connections

import sessionward
from sessionward import BackendUnavailable
from tests.backends.django.world import at_once, backend, delete, environ, found, person, refused, session, sign_in, whom
from tests.contract.doors import ask_wsgi
from tests.support.between import Between

WAIT: Final = 1.0
MARGIN: Final = 2.5
"""Seconds beside the timeout: drivers count in whole ones, two at least, and this machine does much else."""
PORTS: Final = {"postgresql": 5432, "mysql": 3306}


@contextmanager
def between() -> Iterator[Between]:
    """The site's database, behind something that may fall silent."""
    settings = connections.settings["default"]
    middle = Between(settings["HOST"], int(settings["PORT"] or PORTS[connection.vendor]))
    place = {"HOST": "127.0.0.1", "PORT": str(middle.port)}
    try:
        connections.close_all()
        with patch.dict(settings, place), patch.dict(connection.settings_dict, place):
            yield middle
    finally:
        connections.close_all()
        middle.close()


def in_time(ask: Callable[[], Any]) -> Any:
    began = monotonic()
    answer = ask()
    taken = monotonic() - began
    assert taken < WAIT + MARGIN, f"it took {taken:.1f} s"
    return answer


def case_questions_end_at_their_deadline_on_a_connection_that_is_open_and_on_a_new_one() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend(timeout=WAIT)
    with between() as middle:
        for kept in (True, False) if connection.vendor == "postgresql" else (True,):  # PyMySQL greets a server for ever
            for ask in (lambda: found(own, timeout=WAIT), lambda: ours.revoke_others(known), lambda: ours.purge(9e9)):
                with patch.dict(connection.settings_dict, {"CONN_MAX_AGE": 600}):
                    connections.close_all()
                    if kept:
                        connection.ensure_connection()
                    with middle.silent():
                        in_time(lambda ask=ask: refused(ask, BackendUnavailable))
    assert [whom(key) for key in (own, other)] == [ann, ann]


def case_the_door_answers_503_and_the_next_call_goes_on() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)

    def ask() -> int:
        door = sessionward.WSGIMiddleware(get_wsgi_application(), backend(), backend_timeout=WAIT)
        return ask_wsgi(door, environ("DELETE", "/auth/sessions", own)).status

    if connection.vendor != "postgresql":
        return
    with between() as middle:
        with middle.silent():
            assert in_time(lambda: at_once([ask])) == [503]
        assert delete(own)[0] == 200
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_a_connection_is_left_alone_once_the_question_has_been_answered() -> None:
    ann = person("ann")
    own = sign_in(ann)
    with patch.dict(connection.settings_dict, {"CONN_MAX_AGE": 600}):
        connection.ensure_connection()
        assert found(own, timeout=0.3) is not None
        Event().wait(0.5)
        assert connection.is_usable()
        assert "get_connection_params" not in vars(connection)
