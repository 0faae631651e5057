"""The first question of all, in a project that has never asked one."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from tests.backends.django.world import delete, drop_ours, found, person, sign_in


def case_may_be_the_end_itself() -> None:
    ann = person("ann")
    own, _ = sign_in(ann), sign_in(ann)
    drop_ours()
    assert delete(own) == (200, 1)


def case_may_be_who_somebody_is() -> None:
    own = sign_in(person("ann"))
    drop_ours()
    assert found(own) is not None
