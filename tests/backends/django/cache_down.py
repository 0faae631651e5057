"""When the cache does not answer, that is what we say: it is never an empty cache."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from django.core.cache import caches
from django.test import override_settings

from sessionward.backends import Credential
from tests.backends.django.settings import CACHES
from tests.backends.django.world import backend, bare, delete, found, person, refused, session, sign_in, store, visit, whom

DOWN = {"default": {**CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}


def case_a_cache_that_is_down_is_503() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours = session(own), backend()
    with override_settings(CACHES=DOWN):
        said = [
            refused(lambda: found(own)),
            refused(lambda: ours.revoke_others(known)),
            refused(lambda: ours.revoke_all(ann)),
        ]
        answer = visit("/auth/sessions", own, "DELETE")
        assert answer.status == 503
        assert any(name.lower() == "retry-after" for name, _ in answer.headers)
        assert store()(own).load() == {}, "the engine takes it for empty: the reason not to ask it"
    assert not any(own in text for text in said)
    assert [whom(key) for key in (own, other)] == [ann, ann]
    assert delete(own) == (200, 1)


def case_one_answer_that_is_missing_leaves_all_as_they_were() -> None:
    ann = person("ann")
    own, *others = (sign_in(ann) for _ in range(4))
    known, ours, kind = session(own), backend(), type(caches["default"])
    get = kind.get

    def flaky(self: Any, key: str, *args: Any, **rest: Any) -> Any:
        if key.endswith(sorted(others)[1]):
            raise ConnectionError
        return get(self, key, *args, **rest)

    with patch.object(kind, "get", flaky):
        refused(lambda: ours.revoke_others(known))
    assert [whom(key) for key in (own, *others)] == [ann] * 4


def case_once_it_has_ended_a_cache_that_cannot_delete_changes_nothing() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours, kind = session(own), backend(), type(caches["default"])
    with patch.object(kind, "delete", side_effect=ConnectionError), patch.object(kind, "delete_many", side_effect=ConnectionError):
        assert ours.revoke_others(known) == 1
    assert bare("/me", other).body.decode().strip() == ann
    assert whom(other) == "nobody"
    assert len(ours.which_revoked([Credential(other.encode())])) == 1
