"""Engines that write late: what was revoked is on record, and a request with its cookie reaches Django without it."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.sessions.backends import file
from django.core.cache import cache

from sessionward.backends import Credential
from sessionward.backends.django.store import TableStore, store_of
from sessionward.backends.django.tables import Ended
from tests.backends.django.world import backend, bare, cookie_of, delete, person, rows, sign_in, store, visit, whom


def kept(key: str) -> Callable[[], object]:
    """Keeps a copy of what is stored of a session, as a request in flight does; calling it writes that back."""
    cached = getattr(store()(key), "cache_key", None)
    value = cache.get(cached) if cached else None
    row = rows().get(session_key=key) if isinstance(store_of(), TableStore) else None
    path = Path(store()(key)._key_to_file()) if issubclass(store(), file.SessionStore) else None
    content = path.read_bytes() if path else b""

    def write() -> None:
        if row is not None:
            row.save(force_insert=True)
        if cached:
            cache.set(cached, value)
        if path:
            path.write_bytes(content)

    return write


def case_what_is_written_back_late_is_refused_for_good() -> None:
    """Django alone would take it: that is what the record is for."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    write_back = kept(other)
    assert delete(own) == (200, 1)
    assert bare("/me", other).body == b"nobody"
    write_back()
    assert bare("/me", other).body == ann.encode()
    assert whom(other) == "nobody"
    assert delete(other) == (401, None)
    assert delete(own) == (200, 0)
    assert visit("/cart/tea", other).status == 200
    assert whom(other) == "nobody"


def case_only_digests_stand_in_the_record() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    delete(own)
    assert list(Ended.objects.values_list("digest", flat=True)) == [Credential(other.encode()).digest.hex()]


def case_of_several_credentials_those_that_were_ended_are_told() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    delete(own)
    asked = [Credential(key.encode()) for key in (own, other, "x" * 32, "no key")]
    assert list(backend().which_revoked(asked)) == [asked[1]]
    assert list(backend().which_revoked([])) == []


def case_the_same_browser_signs_in_again_and_gets_another_key() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    delete(own)
    again = sign_in(ann, through=lambda path: visit(path, other))
    assert again not in (own, other)
    assert whom(again) == ann
    assert settings.SESSION_COOKIE_NAME == "sessionid"


def case_p9_an_answer_to_a_request_whose_session_was_revoked_sets_no_session_at_all() -> None:
    """Neither one of another user nor an anonymous one. Both live on, for other clients."""
    ann, bob = person("ann"), person("bob")
    own, other = sign_in(ann), sign_in(ann)
    assert delete(own) == (200, 1)
    news = [sign_in(bob), cookie_of(visit("/cart/tea"))]
    for new in news:
        assert new
        answers = [backend().renewed(Credential(new.encode()), [Credential(old.encode())], lambda: 9.0) for old in (own, other)]
        assert answers == [True, False], new
    assert [whom(str(new)) for new in news] == [bob, "nobody tea"]
