"""SQLite, and a project's database that is not in order: our tables are made, and the connection is not harmed."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import sqlite3

from django.contrib.auth.models import Group
from django.db import connection

from tests.backends.django.world import OURS, at_once, delete, drop_ours, person, sign_in, tables


def case_a_foreign_key_that_dangles_is_none_of_our_business() -> None:
    ann = person("ann")
    own, _ = sign_in(ann), sign_in(ann)
    drop_ours()
    connection.close()
    with sqlite3.connect(str(connection.settings_dict["NAME"])) as by_hand:
        by_hand.execute("INSERT INTO auth_user_groups(user_id, group_id) VALUES (987, 654)")
    by_hand.close()
    try:
        assert delete(own) == (200, 1)
        assert {table for table in tables() if table.startswith(OURS)}
        assert not connection.in_atomic_block
        Group.objects.create(name="readers")
        assert at_once([lambda: Group.objects.filter(name="readers").count()]) == [1]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM auth_user_groups")
            cursor.execute("DELETE FROM auth_group")
