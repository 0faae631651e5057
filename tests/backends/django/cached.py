"""cached_db fills its cache late: a session that was revoked may stand in it for weeks."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from django.core.cache import cache, caches
from django.core.wsgi import get_wsgi_application

import sessionward
from tests.backends.django.world import backend, bare, delete, environ, person, rows, sign_in, store, whom
from tests.contract.doors import ask_wsgi


def entry(key: str) -> str:
    return str(store()(key).cache_key)


def ended_before_the_cache_is_filled(own: str, other: str) -> None:
    """A load misses the cache and reads the row; the end lands; the load fills the cache with what it has read."""
    cache.delete(entry(other))
    fill = type(caches["default"]).set
    lifetimes: list[float] = []

    def late(self: Any, key: str, value: Any, timeout: Any = None, **rest: Any) -> Any:
        if key == entry(other) and not lifetimes:
            lifetimes.append(timeout)
            assert delete(own) == (200, 1)
        return fill(self, key, value, timeout, **rest)

    with patch.object(type(caches["default"]), "set", late):
        bare("/me", other)
    assert lifetimes[0] > 13 * 86400
    assert not rows().filter(session_key=other).exists()
    assert cache.get(entry(other))["_auth_user_id"]


def case_a_session_that_was_ended_while_it_was_loaded_is_refused() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    ended_before_the_cache_is_filled(own, other)
    assert bare("/me", other).body.decode().strip() == ann
    assert whom(other) == "nobody"
    assert delete(other) == (401, None)
    assert whom(own) == ann


def case_without_the_record_it_would_be_served_from_the_cache() -> None:
    """The canary of the claim above: the same door, but the backend cannot tell what was revoked."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    ended_before_the_cache_is_filled(own, other)
    ours = backend()
    del ours.which_revoked
    door = sessionward.WSGIMiddleware(get_wsgi_application(), ours)
    assert ask_wsgi(door, environ("GET", "/me", other)).body.decode().strip() == ann


def case_the_row_is_the_truth_where_the_cache_is_empty_or_stale() -> None:
    ann, bob = person("ann"), person("bob")
    own, other, third, foreign = sign_in(ann), sign_in(ann), sign_in(ann), sign_in(bob)
    cache.delete(entry(own))
    cache.delete(entry(other))
    cache.set(entry(foreign), cache.get(entry(own), {"_auth_user_id": ann}), 60)
    assert cache.get(entry(third)) is not None
    assert delete(own) == (200, 2)
    assert rows().filter(session_key=foreign).exists()
    assert [cache.get(entry(key)) for key in (other, third)] == [None, None]


def case_a_cache_that_is_down_changes_nothing_of_what_is_ended() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)

    def down(*_: Any, **__: Any) -> Any:
        raise ConnectionError

    broken: Any = dict.fromkeys(("get", "set", "delete", "delete_many"), down)
    with patch.multiple(type(caches["default"]), **broken):
        assert delete(own) == (200, 1)
    assert bare("/me", other).body.decode().strip() == ann, "the copy in the cache is still there"
    assert whom(other) == "nobody"
