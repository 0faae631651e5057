"""Callers at once, where the project has set a stricter isolation level for all of its transactions."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.db import connection, connections

from tests.backends.django.races import check
from tests.backends.django.world import clean


def levels() -> list[Any]:
    if connection.vendor == "mysql":
        return ["repeatable read", "serializable"]
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    return [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE]


@contextmanager
def at_level(level: Any) -> Iterator[None]:
    """All connections that are opened meanwhile."""
    kept = connections.settings["default"]["OPTIONS"]
    with (
        patch.dict(connections.settings["default"], {"OPTIONS": {**kept, "isolation_level": level}}),
        patch.dict(connection.settings_dict, {"OPTIONS": {**kept, "isolation_level": level}}),
    ):
        connections.close_all()
        yield
    connections.close_all()


def case_one_survives_and_the_others_are_told_that_they_have_ended() -> None:
    for level in levels():
        with at_level(level):
            for _ in range(3):
                check(4)
                clean()
