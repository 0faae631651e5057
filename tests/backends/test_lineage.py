"""Whether a PostgreSQL server continues what a worker has seen: each case of the judgement, and what a commit tells."""

from __future__ import annotations

import pytest

from sessionward import ConfigurationError, OutcomeUnknown
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.backends.sql.dialect import POSTGRESQL
from sessionward.backends.sql.driver import is_definite
from sessionward.backends.sql.galera import Galera
from sessionward.backends.sql.lineage import (
    KEPT_BRANCHES,
    Continues,
    Lineage,
    Lost,
    Place,
    Seen,
    Server,
    judge,
    position_of,
    shown,
    timeline_of,
)
from sessionward.backends.sql.options import split_options
from sessionward.backends.sql.server import ServerRow
from sessionward.backends.sql.witness import OnRollback, Witness

OURS, OTHER = 7713497254916118656, 7713497254916118657


def place(timeline: int, position: int, system: int = OURS) -> Place:
    return Place(system, timeline, position)


def lineage(timeline: int, branches: dict[int, int] | None = None, accepted: int = 0, system: int = OURS) -> Lineage:
    return Lineage(system=system, timeline=timeline, branches=branches or {}, accepted=accepted)


def server(at: Place, kept: Lineage | None, *, branched: int | None = None, rolled_back: bool = False) -> Server:
    return Server(at, branched, kept, rolled_back)


NEW = None
ON_1 = Seen(place(1, 500), lineage(1))
ON_2 = Seen(place(2, 500), lineage(2, {1: 300}))
ACCEPTED = Seen(place(1, 500), lineage(1, accepted=9))

CONTINUES = {
    "the first start of all": (server(place(1, 10), None), NEW, lineage(1)),
    "a new worker": (server(place(1, 10), lineage(1)), NEW, lineage(1)),
    "a new worker after a switchover that another one has noted": (server(place(2, 10), lineage(2, {1: 5})), NEW, lineage(2, {1: 5})),
    "the same server": (server(place(1, 501), lineage(1)), ON_1, lineage(1)),
    "the same server, and nothing was written": (server(place(1, 500), lineage(1)), ON_1, lineage(1)),
    "the same server, whose row is gone": (server(place(1, 501), None), ON_1, lineage(1)),
    "a standby that had all": (server(place(2, 600), lineage(1), branched=500), ON_1, lineage(2, {1: 500})),
    "a standby that had all, as another worker has noted": (server(place(2, 600), lineage(2, {1: 500})), ON_1, lineage(2, {1: 500})),
    "the second switchover": (server(place(3, 600), lineage(2, {1: 300}), branched=550), ON_2, lineage(3, {1: 300, 2: 550})),
    "two switchovers since, which another worker has noted": (
        server(place(3, 900), lineage(3, {1: 500, 2: 800})), ON_1, lineage(3, {1: 500, 2: 800}),
    ),
    "two switchovers since, of which it has noted the first": (
        server(place(3, 900), lineage(2, {1: 500}), branched=800), ON_1, lineage(3, {1: 500, 2: 800}),
    ),
    "many switchovers since, of which others have noted the first ones": (
        server(place(5, 900), lineage(3, {1: 500, 2: 800})), ON_1, lineage(5, {1: 500, 2: 800}),
    ),
    "a standby of a server that an operator has accepted, which this worker has not read": (
        server(place(2, 600), lineage(1, accepted=9), branched=500), ON_1, lineage(2, {1: 500}, accepted=9),
    ),
    "an operator has accepted it": (server(place(1, 20), lineage(1, accepted=4)), ON_1, lineage(1, accepted=4)),
    "an operator has accepted another server": (
        server(place(1, 20, OTHER), lineage(1, accepted=4, system=OTHER)), ON_1, lineage(1, accepted=4, system=OTHER),
    ),
    "an operator has accepted it again": (server(place(2, 20), lineage(2, accepted=10)), ACCEPTED, lineage(2, accepted=10)),
}  # fmt: skip

LOST = {
    "a new worker on a server that nobody has noted": (server(place(2, 600), lineage(1), branched=500), NEW, "was not there", False),
    "a new worker on another server": (server(place(1, 600, OTHER), lineage(1)), NEW, "system identifier", False),
    "a standby that lacked one byte": (server(place(2, 600), lineage(1), branched=499), ON_1, "branched off at 0/1F3", True),
    "the same, as another worker has noted": (server(place(2, 600), lineage(2, {1: 499})), ON_1, "branched off at 0/1F3", True),
    "the second switchover": (server(place(3, 600), lineage(2, {1: 300}), branched=499), ON_2, "branched off", True),
    "two switchovers since": (server(place(3, 900), lineage(3, {1: 499, 2: 800})), ON_1, "branched off", True),
    "a timeline that nobody has noted between": (server(place(3, 900), lineage(1), branched=800), ON_1, "not known where", False),
    "a standby that was restarted since": (server(place(2, 600), lineage(1)), ON_1, "not known where", False),
    "a standby of the timeline before the one that was seen": (
        server(place(3, 900), lineage(1), branched=800), ON_2, "not known where", False,
    ),
    "a row of another server, which has branches": (
        server(place(2, 900), lineage(3, {1: 900, 2: 900}, system=OTHER)), ON_1, "not known where", False,
    ),
    "an earlier timeline": (server(place(1, 900), lineage(1)), ON_2, "not known where", False),
    "a disk of before": (server(place(1, 499), lineage(1)), ON_1, "its log ends at 0/1F3", True),
    "a row of before": (server(place(1, 900), lineage(1, accepted=8)), ACCEPTED, "is older", True),
    "no row any more, where there was a decision": (server(place(1, 900), None), ACCEPTED, "is older", True),
    "another server": (server(place(1, 900, OTHER), None), ON_1, "another server", False),
    "a row of another server": (server(place(1, 900), lineage(1, system=OTHER)), ON_1, "from another server", False),
    "another timeline of the same number": (server(place(2, 900), lineage(2, {1: 400})), ON_2, "from another server", False),
    "what nobody has written": (Server(place(1, 900), None, None, False, is_readable=False), ON_1, "cannot be read", False),
    "what nobody has written, for a new worker": (
        Server(place(1, 900), None, None, False, is_readable=False), NEW, "cannot be read", False,
    ),
    "what another worker has found": (server(place(1, 900), lineage(1), rolled_back=True), ON_1, "another worker", True),
    "what another worker has found, for a new one": (server(place(1, 9), lineage(1), rolled_back=True), NEW, "another worker", True),
}  # fmt: skip


@pytest.mark.parametrize(("found", "seen", "kept"), CONTINUES.values(), ids=CONTINUES)
def test_a_server_that_has_all_continues(found: Server, seen: Seen | None, kept: Lineage) -> None:
    assert judge(found, seen) == Continues(kept)


@pytest.mark.parametrize(("found", "seen", "reason", "is_proved"), LOST.values(), ids=LOST)
def test_p6_a_server_that_lacks_something_or_may_is_not_used(found: Server, seen: Seen | None, reason: str, is_proved: bool) -> None:
    verdict = judge(found, seen)
    assert isinstance(verdict, Lost)
    assert reason in verdict.reason
    assert verdict.is_proved == is_proved


def test_a_lineage_is_read_as_it_was_written_and_fits_into_its_column() -> None:
    short = lineage(3, {1: 0x3038380, 2: 0x1_0000_0000}, accepted=1764404400000000)
    assert short.written() == f"{OURS}/3 1764404400000000 1:3038380 2:100000000"
    assert Lineage.read(short.written()) == short
    long = lineage(2**32 - 1, dict.fromkeys(range(2**32 - 100, 2**32 - 1), 2**64 - 1), accepted=2**63)
    assert len(long.written()) <= 255
    assert max(Lineage.read(long.written()).branches) == 2**32 - 2, "the last branches are the ones that are needed"


def test_any_number_of_switchovers_that_lost_nothing_keeps_the_worker() -> None:
    seen = ON_1
    for timeline in range(2, 2 * KEPT_BRANCHES):
        end = seen.place.position + 50
        promoted = server(place(timeline, end + 10), Lineage.read(seen.lineage.written()), branched=end)
        verdict = judge(promoted, seen)
        assert isinstance(verdict, Continues)
        seen = Seen(promoted.place, verdict.lineage)
        again = server(promoted.place, Lineage.read(verdict.lineage.written()))
        assert judge(again, seen) == verdict, "the next connection meets the same server"
    assert len(seen.lineage.branches) == KEPT_BRANCHES


@pytest.mark.parametrize("text", ["garbage", "1/2", "1/1 0 x", "1/1 0 1:G", " ", "x/1 0"])
def test_what_nobody_has_written_is_told_from_nothing(text: str) -> None:
    row = ServerRow(False, OURS, "000000010000000000000001", "0/384", None, None, "on", "on", "", 0, text, False)
    assert row.server() == Server(place(1, 900), None, None, rolled_back=False, is_readable=False)
    for nothing in (None, ""):
        assert row._replace(lineage=nothing).server() == server(place(1, 900), None)


def test_positions_are_those_of_postgresql() -> None:
    assert shown(position_of("1A/3038380")) == "1A/3038380"
    assert position_of("1/0") == 2**32
    assert timeline_of("0000000A000000010000003C") == 10


def test_p6_behind_a_pooler_a_commit_on_another_timeline_is_no_success() -> None:
    """The server changes there, and the connection stays."""
    witness = Witness(POSTGRESQL, OnRollback.REFUSE, Galera.REFUSE)
    witness._memory = ON_1
    examination = witness.examination
    witness.committed("000000010000000000000001", "0/1F5")
    assert witness.examination is examination
    assert witness._seen(ON_1) == Seen(place(1, 0x1F5), lineage(1))
    for file, position in (("000000020000000000000001", "0/1F6"), ("000000010000000000000001", "0/1F3")):
        with pytest.raises(OutcomeUnknown, match="its server has changed"):
            witness.committed(file, position)
        assert witness.examination is not examination, "each connection is examined anew"


@pytest.mark.parametrize(
    ("state", "definite"),
    [("40001", True), ("23505", True), ("P0001", True), ("42501", False), ("53200", False), ("57014", False), ("", False)],
)
def test_p4_an_error_of_the_query_behind_a_commit_proves_nothing(state: str, definite: bool) -> None:
    """psycopg sends both at once, and the error does not say which one has failed."""
    error = Exception()
    vars(error)["sqlstate"] = state
    assert is_definite(error, POSTGRESQL) == definite


@pytest.mark.parametrize("kind", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize(
    ("database", "options", "mistake"),
    [
        pytest.param("postgresql:///db", {"on_rollback": "continue"}, "on_rollback: must be 'refuse' or 'revoke' or 'ignore'", id="a word"),
        pytest.param("postgresql:///db?on_rollback=no", {}, "on_rollback: must be", id="a word in a URL"),
        pytest.param("mysql:///db", {"galera": True}, "galera: must be 'refuse' or 'single_node', not True", id="no word"),
        pytest.param("sqlite:///db", {"on_rollback": "revoke"}, "on_rollback: is for PostgreSQL", id="no log"),
        pytest.param("mysql:///db?on_rollback=revoke", {}, "on_rollback: is for PostgreSQL", id="no log, in a URL"),
        pytest.param("postgresql:///db", {"galera": "single_node"}, "galera: is for MariaDB and MySQL", id="no cluster"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: type, database: str, options: dict[str, object], mistake: str) -> None:
    with pytest.raises(ConfigurationError, match=mistake):
        kind(database, **options)


def test_the_options_of_a_url_are_not_passed_to_the_driver() -> None:
    place, options = split_options("postgresql://app:secret@db/app?on_rollback=revoke&connect_timeout=3")
    assert str(place) == "postgresql://app:***@db/app?connect_timeout=3"
    assert options == {"on_rollback": "revoke"}
    for kept in ("postgresql://db/app?connect_timeout=3", "no URL", object()):
        assert split_options(kept) == (kept, {})
