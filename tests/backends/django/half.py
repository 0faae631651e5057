"""When one step of ending fails on a database, nothing has happened."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

from sessionward.backends import Credential
from sessionward.backends.django.tables import Ended
from tests.backends.django.faults import fails_for
from tests.backends.django.world import backend, everything, person, refused, session, sign_in, whom


def case_the_record_cannot_be_written() -> None:
    ann = person("ann")
    own, *others = (sign_in(ann) for _ in range(4))
    known, ours, before = session(own), backend(), everything()
    backend().which_revoked([Credential(own.encode())])
    with fails_for(Ended._meta.db_table, "INSERT", "NEW.digest", Credential(sorted(others)[1].encode()).digest.hex()):
        refused(lambda: ours.revoke_others(known))
        assert {table: found for table, found in everything().items() if table != "sessionward_django_users"} == {
            table: found for table, found in before.items() if table != "sessionward_django_users"
        }
    assert [whom(key) for key in (own, *others)] == [ann] * 4
    assert ours.revoke_others(known) == 3
