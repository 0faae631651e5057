"""The file engine: looking changes no file, and a file that cannot be read is no session that is gone."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from tests.backends.django.world import backend, everything, found, person, refused, session, sign_in, store, whom


def path_of(key: str) -> Path:
    return Path(store()(key)._key_to_file())


def case_a_file_that_cannot_be_read_is_503() -> None:
    ann = person("ann")
    own, other = sign_in(ann), sign_in(ann)
    known, ours, away = session(own), backend(), path_of(other).with_name("away")
    path_of(other).rename(away)
    path_of(other).mkdir()
    refused(lambda: found(other))
    refused(lambda: ours.revoke_others(known))
    path_of(other).rmdir()
    assert found(other) is None
    away.rename(path_of(other))
    assert [whom(key) for key in (own, other)] == [ann, ann]
    assert ours.revoke_others(known) == 1


def case_what_has_expired_or_is_garbage_is_left_where_it_is() -> None:
    ann = person("ann")
    own, expired, broken, empty = (sign_in(ann) for _ in range(4))
    os.utime(path_of(expired), (1, 1))
    path_of(broken).write_text("garbage")
    path_of(empty).write_text("")
    known, before = session(own), everything()
    assert [found(key) for key in (expired, broken, empty)] == [None] * 3
    assert everything() == before
    assert backend().revoke_others(known) == 0
    assert {path.name for path in Path(settings.SESSION_FILE_PATH).iterdir()} == {
        path_of(key).name for key in (own, expired, broken, empty)
    }
    assert whom(own) == ann
