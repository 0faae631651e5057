"""A cache that cannot tell which sessions it holds: each is noted when it is seen, and what nobody saw of a closed user is refused."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from unittest.mock import patch

from sessionward import BackendUnavailable
from sessionward.backends import Credential
from sessionward.backends.django import index as module
from sessionward.backends.django.tables import Entry, User, user_digest
from tests.backends.django.world import at_once, backend, bare, delete, person, refused, session, sign_in, store, visit, whom


def case_a_login_through_the_door_is_noted() -> None:
    ann = person("ann")
    own = sign_in(ann)
    assert dict(Entry.objects.values_list("session_key", "user")) == {own: user_digest(ann)}


def case_a_session_from_before_the_installation_is_noted_at_its_first_request_and_then_ends() -> None:
    ann = person("ann")
    old, own = sign_in(ann, through=bare), sign_in(ann)
    assert not Entry.objects.filter(session_key=old).exists()
    assert whom(old) == ann
    assert Entry.objects.filter(session_key=old, user=user_digest(ann)).exists()
    assert delete(own) == (200, 1)
    assert whom(old) == "nobody"


def case_one_that_nobody_saw_is_refused_once_its_user_is_closed() -> None:
    ann, bob = person("ann"), person("bob")
    unseen, foreign, own = sign_in(ann, through=bare), sign_in(bob, through=bare), sign_in(ann)
    assert delete(own) == (200, 0)
    assert bare("/me", unseen).body.decode().strip() == ann
    assert [whom(key) for key in (unseen, foreign, own)] == ["nobody", bob, ann]
    assert whom(unseen) == "nobody"
    assert whom(sign_in(ann)) == ann


def case_the_caller_itself_may_be_one_that_nobody_saw() -> None:
    ann = person("ann")
    own, other = sign_in(ann, through=bare), sign_in(ann)
    assert delete(own) == (200, 1)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_p2_one_that_is_refused_cannot_end_the_others() -> None:
    """A copy that was forgotten in a drawer: refused everywhere, it must not sign out who is left."""
    ann = person("ann")
    unseen, own = sign_in(ann, through=bare), sign_in(ann)
    assert delete(own) == (200, 0)
    assert delete(unseen)[0] == 401
    assert [whom(key) for key in (own, unseen)] == [ann, "nobody"]


def case_p1_one_that_the_cache_misses_at_that_moment_ends_too() -> None:
    ann = person("ann")
    other, own = sign_in(ann), sign_in(ann)
    entry = store()(other)
    kept = entry._cache.get(entry.cache_key)
    entry._cache.delete(entry.cache_key)
    assert delete(own) == (200, 0)
    entry._cache.set(entry.cache_key, kept, 3600)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_anonymous_sessions_are_let_through() -> None:
    ann = person("ann")
    delete(sign_in(ann))
    anonymous = sign_in(ann, through=lambda path: bare("/cart/tea"))
    assert whom(anonymous) == "nobody tea"
    assert not Entry.objects.filter(session_key=anonymous).exists()


def case_one_that_is_seen_for_the_first_time_while_its_user_is_closed_ends_too() -> None:
    """Each of the two comes in at the worst moment of the other."""
    ann = person("ann")
    own, unseen = sign_in(ann), sign_in(ann, through=bare)
    known, ours, write = session(own), backend(), module.write
    outcomes: list[object] = []

    def late(using: str, entries: list[tuple[str, str]]) -> None:
        if entries[0][0] == unseen:
            outcomes.extend(at_once([lambda: backend(timeout=0.3).revoke_others(known)]))
        write(using, entries)

    with patch.object(module, "write", late):
        assert list(ours.which_revoked([Credential(unseen.encode())])) == []
    assert type(outcomes[0]) is BackendUnavailable, "it has to wait for the lock"
    assert backend().revoke_others(known) == 1
    assert whom(unseen) == "nobody"


def case_what_was_not_noted_in_the_end_is_not_taken_for_seen() -> None:
    ann = person("ann")
    unseen, ours = sign_in(ann, through=bare), backend()

    def fails(*_: object) -> None:
        raise ConnectionError

    with patch.object(module, "write", fails):
        refused(lambda: ours.which_revoked([Credential(unseen.encode())]), ConnectionError)
    assert not Entry.objects.exists()
    ours.revoke_all(ann)
    assert len(ours.which_revoked([Credential(unseen.encode())])) == 1


def case_a_login_that_cannot_be_noted_is_refused_later_and_no_sooner() -> None:
    ann = person("ann")
    with patch.object(module, "write", side_effect=ConnectionError):
        own = sign_in(ann)
    assert whom(own) == ann
    assert User.objects.filter(closed=True).count() == 0
    assert visit("/me", own).status == 200
