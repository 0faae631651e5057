"""PostgreSQL, and a role that may not create tables."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import logging
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

from sessionward.backends.django import tables as ours
from tests.backends.django.world import drop_ours, person, refused, sign_in, tables, visit


def become(connection: Any, **_: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE sessionward_test_reader")


def case_whoever_may_not_create_them_is_told_the_sql() -> None:
    own, lines = sign_in(person("ann")), Lines()
    drop_ours()
    log = logging.getLogger("sessionward")
    log.addHandler(lines)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE sessionward_test_reader")
        cursor.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO sessionward_test_reader")
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    connection_created.connect(become)
    connection.close()
    try:
        said = refused(lambda: ours.ensure("default"))
        assert 'CREATE TABLE "sessionward_django_ended"' in said
        assert 'CREATE TABLE "sessionward_django_users"' in said
        assert visit("/auth/sessions", own, "DELETE").status == 503
        assert "CREATE TABLE" in lines.text
        assert own not in lines.text
    finally:
        log.removeHandler(lines)
        connection_created.disconnect(become)
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP OWNED BY sessionward_test_reader")
            cursor.execute("DROP ROLE sessionward_test_reader")
    script = said.partition("create them: ")[2]
    assert script.endswith(";")
    with connection.cursor() as cursor:
        cursor.execute(script)  # as it stands there, pasted into the database's own client
    assert not ours._missing("default")
    drop_ours()
    ours.ensure("default")
    assert "sessionward_django_ended" in tables()


class Lines(logging.Handler):
    """What is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += self.format(record)
