"""Without the index so many sessions are looked through at most, and none is revoked where that does not reach."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import logging
from unittest.mock import patch

from sessionward.backends.django import backend as module
from tests.backends.django.no_right import Lines
from tests.backends.django.world import backend, bare, delete, everything, person, refused, session, sign_in, whom


def case_beyond_the_limit_nothing_ends_and_the_log_says_why() -> None:
    ann, lines = person("ann"), Lines()
    own, other = sign_in(ann), sign_in(ann)
    for number in range(3):
        sign_in(person(f"user {number}"))
    known, before = session(own), everything()
    assert "scan_limit" in refused(lambda: backend(scan_limit=4).revoke_others(known))
    log = logging.getLogger("sessionward")
    log.addHandler(lines)
    try:
        with patch.dict(module.DjangoBackend.__init__.__kwdefaults__, {"scan_limit": 4}):
            assert delete(own) == (503, None)
    finally:
        log.removeHandler(lines)
    assert "more than 4 sessions" in lines.text
    assert "sessionward index" in lines.text
    assert own not in lines.text
    assert everything() == before
    assert whom(other) == ann


def case_at_the_limit_all_are_looked_through() -> None:
    ann = person("ann")
    own, *others = (sign_in(ann, through=bare) for _ in range(4))
    assert backend(scan_limit=4).revoke_others(session(own)) == 3
    assert [whom(key) for key in others] == ["nobody"] * 3


def case_ended_and_expired_sessions_do_not_count_towards_it() -> None:
    ann = person("ann")
    own, *_ = (sign_in(ann) for _ in range(4))
    assert backend(scan_limit=4).revoke_others(session(own)) == 3
    sign_in(ann)
    assert backend(scan_limit=2).revoke_others(session(own)) == 1
