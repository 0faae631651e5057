"""A request in flight that gives its session a new key: neither the old one nor the new one outlives the end."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any
from unittest.mock import patch

from django.db import connections

from sessionward.backends.django.completeness import mark_complete
from sessionward.backends.django.index import Index
from sessionward.backends.django.store import KeyValueStore, TableStore, store_of
from tests.backends.django.views import meanwhile
from tests.backends.django.world import DEADLINE, backend, cookie_of, delete, person, session, sign_in, visit, whom
from tests.contract.doors import Answer


def lives(answer: Answer, user: str) -> bool:
    """Whether the cookie that an answer sets, if it sets one, still signs the user in."""
    new = cookie_of(answer)
    return bool(new) and whom(str(new)) == user


def complete() -> None:
    if store_of().listable:
        mark_complete(store_of())


def case_the_end_comes_before_the_new_key() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    meanwhile.append(lambda: delete(own))
    assert not lives(visit("/slow-rotate", other), ann)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_the_end_comes_before_the_new_key_is_noted() -> None:
    """A cache has lost the old key by then, and nobody knows of the new one."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    complete()
    ended: list[int] = []
    note = Index.note

    def late(self: Index, key: str, user_id: str) -> None:
        if not ended:
            ended.append(delete(own)[0])
        note(self, key, user_id)

    with patch.object(Index, "note", late):
        answer = visit("/rotate", other)
    assert ended == [200]
    assert not lives(answer, ann)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_the_new_key_comes_while_the_others_are_being_ended() -> None:
    """The one who ends has read the index, and has not committed yet."""
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    complete()
    known, ours, answers = session(own), backend(), []
    rotation = in_a_thread(lambda: answers.append(visit("/rotate", other)))
    kind, name = (TableStore, "decoded") if isinstance(store_of(), TableStore) else (KeyValueStore, "read")
    read = getattr(kind, name)

    def slowly(*args: Any, **settings: Any) -> Any:
        found = read(*args, **settings)
        if rotation.ident is None:
            rotation.start()
            rotation.join(0.5)  # it waits for our lock, or it is through: what follows must hold either way
        return found

    with patch.object(kind, name, slowly):
        ours.revoke_others(known)
    rotation.join(DEADLINE)
    assert not lives(answers[0], ann)
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def in_a_thread(ask: Callable[[], object]) -> Thread:
    def work() -> None:
        try:
            ask()
        finally:
            connections.close_all()

    return Thread(target=work)
