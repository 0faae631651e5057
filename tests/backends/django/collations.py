"""MariaDB takes Bob for bob unless it is told otherwise; two users of a project that told it so stay two."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from django.db import connection

from sessionward.backends.django.tables import Entry, User
from tests.backends.django.world import at_once, backend, delete, ends, person, sign_in, whom


def distinct() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE people_plain MODIFY name varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL")
        cursor.execute("SELECT table_collation FROM information_schema.tables WHERE table_name = 'sessionward_django_index'")
        assert all(str(collation).endswith("_ci") for (collation,) in cursor.fetchall()), "or this would show nothing"


def case_users_that_differ_in_case_or_accent_are_two() -> None:
    backend().revoke_all("nobody")
    distinct()
    names = [person(name) for name in ("Bob", "bob", "bób", "ﬁ", "fi")]
    keys = {name: [sign_in(name), sign_in(name)] for name in names}
    assert delete(keys["Bob"][0]) == (200, 1)
    assert [whom(key) for key in keys["bob"] + keys["bób"]] == ["bob", "bob", "bób", "bób"]
    assert backend().revoke_all("FI") == 0
    assert backend().revoke_all("fi") == 2
    assert whom(keys["ﬁ"][0]) == "ﬁ"
    assert User.objects.count() == 3 + 1
    assert Entry.objects.count() == 10


def case_their_callers_do_not_meet() -> None:
    backend().revoke_all("nobody")
    distinct()
    names = [person(name) for name in ("Bob", "bob")]
    keys = [sign_in(name) for name in names for _ in range(2)]
    assert sorted(at_once([ends(keys[0]), ends(keys[2])]), key=str) == [1, 1]
    assert [whom(key) for key in keys] == ["Bob", "nobody", "bob", "nobody"]
