"""Several callers of one user at once: exactly one survives, whatever the database."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier

from django.contrib.auth import SESSION_KEY

from sessionward import Session, SessionRevoked
from sessionward.backends.django.store import TableStore, store_of
from tests.backends.django.world import (
    are_counts,
    at_once,
    backend,
    clean,
    drop_ours,
    ends,
    found,
    person,
    refused,
    session,
    sign_in,
    store,
    tables,
    visit,
    whom,
)


def survivors(number: int, caller: Callable[[str, int], Callable[[], int]]) -> tuple[list[int], list[str]]:
    """So many callers at once: the counts of those who got one, and whose sessions live afterwards."""
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(number)]
    counts = are_counts(at_once([caller(key, number) for key in keys]))
    return counts, [key for key in keys if whom(key) == ann and found(key) is not None]


def ours(key: str, _number: int) -> Callable[[], int]:
    return ends(key)


def check(number: int, caller: Callable[[str, int], Callable[[], int]] = ours) -> None:
    counts, alive = survivors(number, caller)
    assert (counts, len(alive)) == ([number - 1], 1), (counts, len(alive))


def case_of_two_one_survives() -> None:
    for _ in range(3):
        check(2)
        clean()


def case_of_four_one_survives() -> None:
    check(4)


def case_of_sixteen_one_survives() -> None:
    check(16)


def case_through_the_door_of_four_one_survives() -> None:
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(4)]
    statuses = at_once([lambda key=key: visit("/auth/sessions", key, "DELETE").status for key in keys])
    assert sorted(statuses, key=str) == [200, 401, 401, 401]
    assert sum(whom(key) == ann for key in keys) == 1


def case_the_first_of_all_callers_meet_without_tables() -> None:
    drop_ours()
    check(4)
    assert {"sessionward_django_users", "sessionward_django_ended"} <= tables()


def case_the_first_callers_of_many_users_meet() -> None:
    users = [person(f"user {number}") for number in range(6)]
    keys = {user: [sign_in(user) for _ in range(2)] for user in users}
    outcomes = at_once([ends(key) for devices in keys.values() for key in devices])
    assert are_counts(outcomes) == [1] * len(users)
    assert all(sum(whom(key) == user for key in devices) == 1 for user, devices in keys.items())


def case_a_naive_way_is_caught_by_the_same_check() -> None:
    if not isinstance(store_of(), TableStore):
        return
    for number in (2, 4):
        met = Barrier(number)

        def naive(key: str, _number: int, met: Barrier = met) -> Callable[[], int]:
            known = session(key)

            def end() -> int:
                others = without_a_lock(known, key)
                met.wait(10)
                for other in others:
                    store()().delete(other)
                return len(others)

            return end

        assert survivors(number, naive) == ([number - 1] * number, [])
        clean()
        refused(lambda: check(number, naive), AssertionError)  # noqa: B023 - called at once
        clean()


def without_a_lock(known: Session, own: str) -> list[str]:
    rows = store_of().model._base_manager.all()
    if not rows.filter(session_key=own).exists():
        raise SessionRevoked("")
    return [row.session_key for row in rows if row.session_key != own and row.get_decoded().get(SESSION_KEY) == known.user_id]


def case_an_end_of_all_and_a_caller_meet() -> None:
    ann = person("ann")
    keys = [sign_in(ann) for _ in range(3)]
    outcomes = at_once([ends(keys[0]), lambda: backend().revoke_all(ann)])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception) and type(outcome) is not SessionRevoked]
    assert sum(outcome for outcome in outcomes if isinstance(outcome, int)) == 3
    assert [whom(key) for key in keys] == ["nobody"] * 3
