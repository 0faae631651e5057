"""What is searched: the scenarios with every rule, and for each rule the scenario that breaks without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

SCENARIOS: Final[Sequence[str]] = (
    "SCENARIO=ONE_CALL",
    "SCENARIO=ONE_CALL LEASE=2 CHECKS=1",
    "SCENARIO=ONE_CALL JOIN ONE_WORKER",
    "SCENARIO=ONE_CALL CHECKS=1 COMMIT_WITHIN=1 PURGE_AFTER=2",
    "SCENARIO=TWO_CALLS CHECKS=1",
    "SCENARIO=LOGIN_REPLACES CHECKS=1",
    "SCENARIO=LOGIN_OVERTAKEN CHECKS=1",
    "SCENARIO=LOGIN_ALONE CHECKS=1",
    "SCENARIO=LOGOUT",
    "SCENARIO=THREE_SESSIONS CHECKS=1",
    "SCENARIO=PROXY LEASE=2 CHECKS=1",
    "SCENARIO=ONE_CALL CHANGES LEASE=0 CRASHES=0",
    "SCENARIO=ONE_CALL CHANGES LONGEST=3 CHECKS=1",
    "SCENARIO=TWO_CALLS CHANGES LEASE=0 CHECKS=1",
    "SCENARIO=LOGIN_ALONE CHANGES LEASE=0 CHECKS=1",
    "SCENARIO=PROXY CHANGES LEASE=0 CHECKS=1",
)
"""Nothing breaks in these."""

LARGER: Final[Sequence[str]] = (
    "SCENARIO=ONE_CALL LEASE=2",
    "SCENARIO=TWO_CALLS",
    "SCENARIO=LOGIN_OVERTAKEN",
    "SCENARIO=LOGIN_ALONE",
    "SCENARIO=THREE_SESSIONS",
    "SCENARIO=ONE_CALL CHANGES LEASE=0",
    "SCENARIO=ONE_CALL CHANGES",
    "SCENARIO=TWO_CALLS CHANGES CHECKS=1",
    "SCENARIO=LOGIN_REPLACES CHANGES LEASE=0 CHECKS=1",
    "SCENARIO=PROXY CHANGES CHECKS=1",
)
"""Nor in these, which take minutes and a gigabyte."""

PROPERTIES: Final[Mapping[str, str]] = {
    "P1": "p1_excluded",
    "P2": "successes",
    "P4": "p6_refused",  # in THREE_SESSIONS
    "P6": "p6_refused",
    "P10": "p10_answered",
}
"""The name in the assertion that fails."""


class Mutant(NamedTuple):
    """A rule that is removed."""

    rule: str
    breaks: str
    scenario: str
    story: str


MUTANTS: Final[Sequence[Mutant]] = (
    # Answers that wait.
    Mutant("SUCCESS_AT_ONCE", "P1", "ONE_CALL", "worker 0 trusts B; commit; 200; worker 0 accepts B"),
    Mutant(
        "ZERO_AT_ONCE", "P1", "ONE_CALL", "worker 0 trusts B; commit; the connection is lost; the repeat finds nothing, 200; B is accepted"
    ),
    Mutant("REVOKED_AT_ONCE", "P6", "TWO_CALLS", "the call of B commits; the call of A gets its 401; worker 0 still accepts A"),
    Mutant("CHECK_AT_ONCE", "P6", "ONE_CALL", "worker 0 trusts B; commit; worker 1 refuses B; worker 0 accepts it"),
    Mutant("LOGIN_AT_ONCE", "P1", "LOGIN_ALONE", "worker 0 trusts A; a login replaces A and answers; A is accepted"),
    Mutant("STALE_LOGIN_AT_ONCE", "P6", "LOGIN_REPLACES", "the call of B commits; the login that A asks for is refused; A is accepted"),
    Mutant("STALE_LOGIN_AT_ONCE", "P6", "LOGIN_OVERTAKEN", "the call of A commits; a login that began before is refused; B is accepted"),
    Mutant("LOGOUT_AT_ONCE", "P1", "LOGOUT", "worker 0 trusts B; B logs out in worker 1, 204; worker 0 accepts B"),
    # From when on, and for how long.
    Mutant("LEASE_FROM_ANSWER", "P1", "ONE_CALL", "B is read live; commit; the answer arrives late and is trusted for a whole lease; 200"),
    Mutant(
        "LOGIN_TRUSTED_FROM_ANSWER",
        "P1",
        "LOGIN_REPLACES",
        "a login commits C; B revokes C, 200; the login's answer arrives; C is accepted",
    ),
    Mutant(
        "WAIT_FROM_QUESTION", "P6", "ONE_CALL CHECKS=2", "a question begins; later worker 0 reads B live; commit; the first one reads ended"
    ),
    Mutant(
        "ENDED_BY_AGE", "P6", "ONE_CALL", "`ended_at` is old when the commit becomes visible: B is refused at once; another worker accepts"
    ),
    Mutant("REMEMBERED_AT_ONCE", "P6", "LOGOUT", "B logs out; its worker remembers that and says so at once; the other worker accepts"),
    Mutant("REMEMBERED_AT_ONCE", "P6", "ONE_CALL CHECKS=2", "a check waits; the next one in its worker says so at once"),
    Mutant(
        "JOINED_WITHOUT_LIMIT", "P1", "ONE_CALL JOIN ONE_WORKER CHECKS=2", "a check after the 200 joins a question from before the commit"
    ),
    # What may be remembered, and what must be kept.
    Mutant("UNKNOWN_REMEMBERED", "P10", "LOGIN_OVERTAKEN", "a check asks about C before it exists; the login answers; C is unknown still"),
    Mutant("PURGE_AFTER=1", "P6", "ONE_CALL COMMIT_WITHIN=1", "the row of B is purged within the wait: unknown is said at once"),
    Mutant(
        "PURGE_AFTER=2", "P6", "ONE_CALL COMMIT_WITHIN=2", "the same, where a commit takes longer than the time that a row is kept allows"
    ),
    # The lock and the commit.
    Mutant("UNLOCKED", "P2", "TWO_CALLS", "both calls find themselves live, and each revokes the other"),
    Mutant("ONE_BY_ONE", "P4", "THREE_SESSIONS", "B is ended in one commit and refused, while C is live"),
    # A proxy.
    Mutant("STACKED_AGES", "P1", "PROXY LEASE=2", "the worker answers from its lease; the proxy trusts that for a lease of its own"),
    Mutant("STALE_WHILE_ASKING", "P1", "PROXY", "the proxy serves what it has while it asks anew, after the 200"),
    # A lease that is changed while workers run.
    Mutant(
        "LEASE_BEFORE_COMMIT",
        "P1",
        "ONE_CALL CHANGES",
        "the call reads 1; the lease is raised; worker 0 trusts B for 2; commit; 200 after 1",
    ),
    Mutant(
        "LEASE_IN_LOCKING_READ",
        "P6",
        "TWO_CALLS CHANGES LEASE=0",
        "the same for the 401: the statement that waits for the lock is older than the raise",
    ),
    Mutant(
        "CALL_WAITS_FOR_THE_LEASE_OF_NOW", "P1", "ONE_CALL CHANGES", "worker 0 trusts B for 2; the lease is lowered; the call waits for 1"
    ),
    Mutant("CHECK_WAITS_FOR_THE_LEASE_OF_NOW", "P6", "ONE_CALL CHANGES", "the same for a check that refuses"),
    Mutant("HOUR=1", "P1", "ONE_CALL CHANGES", "the longer lease is forgotten while a worker still trusts by it"),
    Mutant("ONE_NUMBER_BEFORE", "P1", "ONE_CALL CHANGES LONGEST=3", "lowered twice within the hour, 3 to 2 to 1: the call waits for 2"),
    Mutant("SETTING_TRUSTED", "P1", "ONE_CALL CHANGES", "a worker trusts by its own setting, not by the number that came with the answer"),
    Mutant(
        "LEASE_READ_AFTER",
        "P1",
        "ONE_CALL CHANGES",
        "B is read live; commit; the lease is raised, then read: the answer counts for longer than the call waits",
    ),
    Mutant(
        "LEASE_READ_BEFORE",
        "P6",
        "ONE_CALL CHANGES LEASE=0 CRASHES=0 CHECKS=2",
        "lease 0 is read; raised; worker 0 trusts B; commit; B is read ended: no wait",
    ),
    Mutant(
        "LOGIN_TRUSTED_BY_THE_LEASE_AFTER_IT",
        "P1",
        "LOGIN_REPLACES CHANGES LEASE=0",
        "a login commits C; C is revoked, 200; the lease is raised, then read",
    ),
)
