"""All sessions end at once, in engines that write late or cannot list their sessions: only what was noted since counts."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

from django.utils import timezone

from sessionward.backends import Credential
from sessionward.backends.django import everybody, index, tables
from sessionward.backends.django.index import Index
from sessionward.backends.django.store import store_of
from tests.backends.django import views
from tests.backends.django.late import kept
from tests.backends.django.world import at_once, backend, bare, person, queries, session, sign_in, store, visit, whom


def case_what_is_written_back_late_is_refused() -> None:
    ann = person("ann")
    noted, unseen = sign_in(ann), sign_in(ann, through=bare)
    write_back = [kept(key) for key in (noted, unseen)]
    backend().revoke_everybody()
    for write in write_back:
        write()
    assert [bare("/me", key).body.decode() for key in (noted, unseen)] == [ann, ann], "Django alone must take them"
    assert [whom(key) for key in (noted, unseen)] == ["nobody", "nobody"]
    assert [whom(key) for key in (noted, unseen)] == ["nobody", "nobody"], "a look must not note them"


def case_p9_a_request_in_flight_that_saves_its_session_does_not_note_it() -> None:
    ann = person("ann")
    key = sign_in(ann)
    write_back = kept(key)
    views.meanwhile.extend([write_back, lambda: backend().revoke_everybody()])  # the last is the first
    assert visit("/slow-cart/tea", key).status == 200
    assert not views.meanwhile
    assert bare("/me", key).body.decode() == f"{ann} tea", "it must have been saved, or this shows nothing"
    assert whom(key) == "nobody"


def case_one_that_is_saved_outside_of_a_request_stays_revoked() -> None:
    """A consumer of channels keeps a session for hours, and saves it whenever it likes."""
    ann = person("ann")
    key = sign_in(ann)
    saved, write_back = store()(key), kept(key)
    assert saved.get("_auth_user_id") == ann
    backend().revoke_everybody()
    write_back()
    saved["cart"] = "tea"
    saved.save()
    Index(store_of()).note(key, ann)  # as a door in another thread does
    assert whom(key) == "nobody"


def case_p5_only_what_was_noted_since_counts() -> None:
    ann = person("ann")
    unseen = sign_in(ann, through=bare)
    write_back = kept(unseen)
    backend().revoke_everybody()
    write_back()
    own, other = sign_in(ann), sign_in(ann)
    assert {each.id for each in backend().list(ann)} == {session(key).id for key in (own, other)}
    assert backend().revoke_others(session(own)) == 1
    sign_in(ann)
    assert backend().for_sidecar().revoke_others(session(own)) == 1
    assert backend(scan_limit=0).for_sidecar().revoke_all(ann) == 1, "it need not look through what does not count"


def case_anonymous_sessions_pass() -> None:
    backend().revoke_everybody()
    ann = person("ann")
    anonymous = sign_in(ann, through=lambda path: visit("/cart/tea"))
    assert whom(anonymous) == "nobody tea"
    signed_in = sign_in(ann, through=lambda path: visit(path, anonymous))
    assert whom(signed_in) == f"{ann} tea"


def case_a_key_that_the_store_does_not_know_is_refused() -> None:
    """A cache, or a request in flight, may have the session back a moment later."""
    backend().revoke_everybody()
    unknown = Credential(b"k" * 32)
    assert list(backend().which_revoked([unknown])) == [unknown]


def case_one_that_is_noted_at_the_same_moment_ends_too() -> None:
    """Each of the two comes in at the worst moment of the other."""
    ann = person("ann")
    backend().revoke_everybody()
    outcomes: list[object] = []
    write = index.write

    def late(using: str, entries: list[tuple[str, str]]) -> None:
        outcomes.extend(at_once([lambda: backend(timeout=0.3).revoke_everybody()]))
        write(using, entries)

    with patch.object(index, "write", late):
        key = sign_in(ann)
    assert outcomes
    assert isinstance(outcomes[0], Exception), "it has to wait for the lock"
    backend().revoke_everybody()
    assert whom(key) == "nobody"


def case_the_login_of_somebody_new_waits_while_it_runs() -> None:
    ann = person("ann")
    backend().revoke_everybody()
    outcomes: list[object] = []
    empty = everybody._empty_index

    def late(using: str) -> list[str]:
        keys = empty(using)
        outcomes.extend(at_once([lambda: backend(timeout=0.3).revoke_all(ann)]))
        return keys

    with patch.object(everybody, "_empty_index", late):
        backend().revoke_everybody()
    assert isinstance(outcomes[0], Exception), "it has to wait for the lock"


def case_purge_forgets_it_once_all_those_sessions_have_expired() -> None:
    ann = person("ann")
    backend().revoke_everybody()
    own = sign_in(ann)
    assert backend().purge(timedelta(days=15)) == 0
    unseen = sign_in(ann, through=bare)
    tables.Entry.objects.filter(session_key=unseen).delete()
    assert whom(unseen) == "nobody"
    tables.Ended.objects.update(ended_at=timezone.now() - timedelta(days=16))
    assert backend().purge(timedelta(days=15)) == 0
    assert [whom(key) for key in (own, unseen)] == [ann, ann]
    assert not tables.is_closed("default", tables.EVERYBODY)


def case_a_check_costs_one_query_more_after_it() -> None:
    ann = person("ann")
    key = Credential(sign_in(ann).encode())
    ours = backend()
    before = len(queries(lambda: ours.which_revoked([key])))
    ours.revoke_everybody()
    key = Credential(sign_in(ann).encode())
    assert len(queries(lambda: ours.which_revoked([key]))) <= before + 1
