"""A session that could not be noted: the index is not complete from then on, whatever happens beside, until all is read anew."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from unittest.mock import patch

from django.db import OperationalError

from sessionward.backends.django import index
from sessionward.backends.django.completeness import mark_complete, mark_incomplete
from sessionward.backends.django.filling import fill
from sessionward.backends.django.store import store_of
from sessionward.backends.django.tables import Entry, State
from tests.backends.django.world import backend, bare, cookie_of, delete, person, refused, rows, sign_in, visit, whom


def fails(*_: object) -> NoReturn:
    raise OperationalError("deadlock detected")


@contextmanager
def noting_fails() -> Iterator[None]:
    with patch.object(index, "write", fails):
        yield


def missed(user: str, *, before: str = "g", behind: str = "") -> str:
    """A session that nobody noted, whose key is less than ``before``, and more than ``behind``."""
    while True:
        with noting_fails():
            key = sign_in(user, through=bare)
        if behind < key < before:
            return key
        rows().filter(session_key=key).delete()


class StopError(Exception):
    """Somebody has stopped the command."""


def crowd() -> str:
    """An index that is not complete; a session of Ann's, and her id."""
    backend()
    for number in range(9):
        sign_in(person(f"user {number}"), through=bare)
    Entry.objects.all().delete()
    return person("ann")


def case_p1_while_the_index_is_filled() -> None:
    ann = crowd()
    own, lost = sign_in(ann), list[str]()

    def progress(_: int) -> None:
        lost[:] = lost or [missed(ann, before=State.objects.get(name="walked").value)]

    assert "not complete" in refused(lambda: fill(store_of(), batch=5, progress=progress))
    assert delete(own) == (200, 1)
    assert whom(lost[0]) == "nobody"


def case_p1_after_the_filling_was_stopped_the_next_one_begins_anew() -> None:
    ann = crowd()
    own, lost = sign_in(ann), ""

    def progress(_: int) -> None:
        nonlocal lost
        if lost:
            raise StopError
        lost = missed(ann, before=State.objects.get(name="walked").value)

    refused(lambda: fill(store_of(), batch=3, progress=progress), StopError)
    assert fill(store_of(), batch=5, progress=lambda _: None) == 11
    assert backend(scan_limit=0).revoke_all(ann) == 2
    assert [whom(key) for key in (own, lost)] == ["nobody", "nobody"]


def case_p1_another_run_does_not_forget_for_the_first_one_what_it_has_missed() -> None:
    """The log asks for it, while the first one is still at work."""
    ann = crowd()
    own, lost = sign_in(ann), list[str]()

    def stop(_: int) -> None:
        raise StopError

    def progress(_: int) -> None:
        if not lost:
            lost.append(missed(ann, before=State.objects.get(name="walked").value))
            refused(lambda: fill(store_of(), batch=2, progress=stop), StopError)

    assert "not complete" in refused(lambda: fill(store_of(), batch=5, progress=progress))
    assert delete(own) == (200, 1)
    assert whom(lost[0]) == "nobody"
    assert fill(store_of(), batch=5, progress=lambda _: None) <= 10
    assert backend(scan_limit=0).revoke_all(ann) == 1


def case_p1_a_run_of_before_a_miss_does_not_say_where_a_later_one_goes_on() -> None:
    """Both are stopped, the former further on: the third one would not read what was missed behind that place."""
    ann = crowd()
    own, lost = sign_in(ann), list[str]()

    def stop(_: int) -> None:
        raise StopError

    def progress(_: int) -> None:
        if lost:
            raise StopError
        least = str(rows().order_by("session_key").values_list("session_key", flat=True).first())
        lost.append(missed(ann, before=State.objects.get(name="walked").value, behind=least))
        refused(lambda: fill(store_of(), batch=1, progress=stop), StopError)

    refused(lambda: fill(store_of(), batch=5, progress=progress), StopError)
    fill(store_of(), batch=5, progress=lambda _: None)
    assert backend(scan_limit=0).revoke_all(ann) == 2
    assert [whom(key) for key in (own, lost[0])] == ["nobody", "nobody"]


def case_a_run_that_was_stopped_after_a_miss_goes_on_where_it_was() -> None:
    crowd()
    mark_incomplete(store_of())

    def stop(_: int) -> None:
        raise StopError

    refused(lambda: fill(store_of(), batch=5, progress=stop), StopError)
    assert fill(store_of(), batch=5, progress=lambda _: None) == 4


def case_that_it_is_complete_can_be_taken_back_while_it_is_filled() -> None:
    ann = crowd()
    own, other = sign_in(ann), sign_in(ann)
    refused(lambda: fill(store_of(), batch=5, progress=lambda _: mark_incomplete(store_of())))
    Entry.objects.all().delete()  # by what runs without sessionward
    assert delete(own) == (200, 1)
    assert whom(other) == "nobody"


def case_p7_what_could_not_be_told_is_told_before_the_next_revocation() -> None:
    ann = person("ann")
    own, ours = sign_in(ann), backend()
    mark_complete(store_of())
    with patch.object(index, "mark_missed", fails):
        with noting_fails():
            ours._index._try_to_note(lost := sign_in(ann, through=bare), ann, is_new=True)
        assert State.objects.filter(name="complete").exists(), "or this shows nothing"
        assert "OperationalError" in refused(lambda: ours.revoke_all(ann))
        assert whom(lost) == ann
    Entry.objects.filter(session_key=lost).delete()
    assert ours.revoke_all(ann) == 2
    assert [whom(key) for key in (own, lost)] == ["nobody", "nobody"]


def case_p9_a_sign_in_that_could_not_be_noted_gets_no_cookie() -> None:
    ann = person("ann")
    own = sign_in(ann)
    mark_complete(store_of())
    with noting_fails():
        answer = visit(f"/login/{ann}")
    assert (answer.status, cookie_of(answer)) == (200, None)
    assert delete(own) == (200, 1), "the session is there, and nobody has its key"
