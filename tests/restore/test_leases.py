"""Workers that trust their answers longer than the restored backup says: the command waits for them."""

from __future__ import annotations

from contextlib import closing
from time import monotonic

from sessionward.cli import main
from sessionward.credential.token import new_token
from sessionward.lease import WAITED
from sessionward.settings import MAX_LEASE
from tests.doors.sides import town
from tests.restore.conftest import Place
from tests.restore.test_own import by_header
from tests.support.sessions import new_session


def test_p6_a_backup_of_before_the_lease_was_raised_shortens_no_wait(dumped: Place) -> None:
    """The worker runs on through the restore, and its memory has the session."""
    token = new_token()
    with closing(dumped.aside()) as job:
        job.login(new_session("ann", token))
        dumped.kept.take()
        job.raise_lease(MAX_LEASE)
    house = dumped.open(town, lease=MAX_LEASE)
    house.open()
    assert by_header(house, token) == "ann"
    dumped.kept.restore()
    began = monotonic()
    assert main(["restored", "--backend", dumped.url]) == 0
    assert by_header(house, token) == "nobody"
    assert monotonic() - began >= WAITED * MAX_LEASE
