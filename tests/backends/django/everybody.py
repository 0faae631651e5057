"""All sessions of all users end at once: after a backup has been restored, nobody is signed in who was."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection

from sessionward.backends import Credential
from sessionward.backends.django.filling import fill
from sessionward.backends.django.store import store_of
from tests.backends.django import views
from tests.backends.django.world import backend, bare, cookie_of, delete, found, person, session, sign_in, store, tables, visit, whom


def backup() -> Callable[[], None]:
    """Copies all that is stored of sessions, ours too. Calling what it returns restores it."""
    kept: dict[str, tuple[list[str], list[Any]]] = {}
    with connection.cursor() as cursor:
        for table in sorted(name for name in tables() if "session" in name):
            cursor.execute(f"SELECT * FROM {table}")
            kept[table] = ([column[0] for column in cursor.description], cursor.fetchall())
    files = {path: path.read_bytes() for path in Path(settings.SESSION_FILE_PATH).iterdir()}
    keys = [store()(key).cache_key for key in views_keys] if hasattr(store()("x" * 32), "cache_key") else []
    cached = cache.get_many(keys)

    def restore() -> None:
        with connection.cursor() as cursor:
            for table, (columns, rows) in kept.items():
                cursor.execute(f"DELETE FROM {table}")
                names, marks = ", ".join(map(connection.ops.quote_name, columns)), ", ".join(["%s"] * len(columns))
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        for path, content in files.items():
            path.write_bytes(content)
        cache.set_many(cached)

    return restore


views_keys: list[str] = []
"""The keys of the sessions whose copies in a cache belong to a backup. A cache does not list its own."""


def two(user: str) -> tuple[str, str]:
    keys = sign_in(user), sign_in(user)
    views_keys[:] = keys
    return keys


def case_nobody_is_signed_in_any_more_and_whoever_signs_in_anew_is() -> None:
    ann, bob = person("ann"), person("bob")
    old = [sign_in(ann), sign_in(ann), sign_in(bob), sign_in(person("carl"), through=bare)]
    backend().revoke_everybody()
    assert [whom(key) for key in old] == ["nobody"] * 4
    assert [found(key) for key in old] == [None] * 4
    assert len(backend().list(ann)) == 0
    assert delete(old[0]) == (401, None)
    new, other = sign_in(ann), sign_in(ann, through=lambda path: visit(path, old[0]))
    assert [whom(key) for key in (new, other)] == [ann, ann]
    assert {each.id for each in backend().list(ann)} == {session(key).id for key in (new, other)}
    assert delete(new) == (200, 1)
    assert [whom(key) for key in (new, other)] == [ann, "nobody"]


def case_it_can_be_done_again() -> None:
    ann = person("ann")
    backend().revoke_everybody()
    first = sign_in(ann)
    backend().revoke_everybody()
    second = sign_in(ann)
    assert [whom(key) for key in (first, second)] == ["nobody", ann]


def case_p6_a_backup_revives_the_revoked_and_this_ends_them_again() -> None:
    ann = person("ann")
    own, other = two(ann)
    restore = backup()
    assert delete(own) == (200, 1)
    assert whom(other) == "nobody"
    restore()
    assert whom(other) == ann, "the backup must revive it, or this shows nothing"
    backend().revoke_everybody()
    assert [whom(key) for key in (own, other)] == ["nobody", "nobody"]
    assert whom(sign_in(ann)) == ann


def case_p6_a_backup_of_an_earlier_era_brings_nobody_back() -> None:
    ann = person("ann")
    own, other = two(ann)
    restore = backup()
    backend().revoke_everybody()
    restore()
    assert whom(other) == ann, "the backup must revive it, or this shows nothing"
    backend().revoke_everybody()
    assert [whom(key) for key in (own, other)] == ["nobody", "nobody"]
    assert backend().revoke_all(ann) == 0


def case_p9_a_request_in_flight_takes_no_login_along() -> None:
    ann = person("ann")
    for path in ("/slow-cart/tea", "/slow-rotate"):
        key = sign_in(ann)
        views.meanwhile.append(lambda: backend().revoke_everybody())
        answer = visit(path, key)
        assert not views.meanwhile
        renewed = cookie_of(answer)
        assert whom(key) == "nobody", path
        assert not renewed or whom(renewed) == "nobody", path
        assert whom(key) == "nobody", path


def case_beside_the_application_too() -> None:
    ann = person("ann")
    old = sign_in(ann)
    backend().revoke_everybody()
    sidecar = backend().for_sidecar()
    own, other = sign_in(ann), sign_in(ann)
    known = sidecar.find(Credential(own.encode()))
    assert known is not None
    assert sidecar.find(Credential(old.encode())) is None
    assert sidecar.revoke_others(known) == 1
    assert [whom(key) for key in (own, other)] == [ann, "nobody"]


def case_the_command_index_brings_nobody_back() -> None:
    ann = person("ann")
    old, unseen = sign_in(ann), sign_in(ann, through=bare)
    backend().revoke_everybody()
    known = store_of()
    if known.listable:
        fill(known, batch=10, progress=lambda _: None)
    assert [whom(old), whom(unseen)] == ["nobody", "nobody"]
    new = sign_in(ann)
    assert whom(new) == ann
    assert backend().revoke_all(ann) == 1
