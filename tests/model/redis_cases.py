"""What is searched of the state in Redis: the scenarios with every rule, and for each rule the scenario that breaks without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.model.cases import Mutant

SCENARIOS: Final[Sequence[str]] = (
    "SCENARIO=REVOKE LONGEST=1 CHANGERS=2",
    "SCENARIO=REVOKE LONGEST=2",
    "SCENARIO=REVOKE_MOVED LONGEST=1 ONE_WORKER",
    "SCENARIO=EVERYBODY LONGEST=1 CHANGES=1 ONE_WORKER",
    "SCENARIO=LOGIN_MOVED",
    "SCENARIO=LOGIN_FIRST CHECKS=2 CRASHES=0",
    "SCENARIO=LOGIN_FIRST ALL_FIRST",
    "SCENARIO=LOGIN_TWICE CRASHES=0",
)
"""Nothing breaks in these. With ``ALL_FIRST`` the state of all gets the era before its copies, which makes no difference."""

LARGER: Final[Sequence[str]] = (
    "SCENARIO=REVOKE LONGEST=1 CHANGERS=2 CHANGES=3",
    "SCENARIO=REVOKE LONGEST=2 CHANGERS=2 CHANGES=3",
    "SCENARIO=REVOKE_MOVED LONGEST=1 CHANGERS=2",
    "SCENARIO=REVOKE_MOVED LONGEST=1 CHANGES=1 CHECKS=2",
    "SCENARIO=EVERYBODY LONGEST=1",
    "SCENARIO=LOGIN_MOVED CHECKS=2",
    "SCENARIO=LOGIN_TWICE",
)
"""Nor in these, which take minutes and a gigabyte."""

PROPERTIES: Final[Mapping[str, str]] = {"P1": "p1_excluded", "P6": "p6_refused", "P10": "p10_answered", "ended": "is_ended"}
"""The name in the assertion that fails."""

MUTANTS: Final[Sequence[Mutant]] = (
    # The lease: the state of all, and its copies.
    Mutant("RAISED_LAST", "P1", "REVOKE LONGEST=1", "a copy is raised, worker 0 trusts B; the state of all still says 0: 200 at once"),
    Mutant(
        "HOUR_BEGINS_AT_ONCE", "P1", "REVOKE LONGEST=1", "lowered in the state of all; after its hour the copy still gives the longer one"
    ),
    Mutant("HOUR=1", "P1", "REVOKE LONGEST=2", "the longer lease is forgotten while a worker still trusts by it"),
    Mutant("NO_SERIAL", "P1", "REVOKE LONGEST=1 CHANGERS=2", "lowered, and done; a slow command writes the longer lease to a copy"),
    Mutant(
        "DONE_BY_AN_OLDER_CHANGE",
        "P1",
        "REVOKE LONGEST=1 CHANGERS=2",
        "a change ends, and the hour of a younger one begins, which has not reached the copy",
    ),
    Mutant(
        "WAIT_READ_BEFORE",
        "P6",
        "REVOKE_MOVED LONGEST=1 CHANGES=1 CHECKS=2 ONE_WORKER",
        "the copy is read: 0; raised; B is trusted, then revoked, and read by the other script: it is refused at once",
    ),
    # The era: the command.
    Mutant(
        "WAIT_READ_BEFORE_THE_COPIES",
        "P1",
        "EVERYBODY LONGEST=1 CHANGES=1 CRASHES=0 ONE_WORKER",
        "the lease is raised while the command writes copies",
    ),
    Mutant("ONLY_COPIES_THAT_EXIST", "P1", "LOGIN_FIRST", "the old era of all is read; the command; the copy is made of the old one"),
    # A copy that is missing, or seems to be.
    Mutant("MADE_OVER", "P10", "LOGIN_FIRST", "the era of all is read; the command writes the copy; it is made over, and C is not live"),
    Mutant("MADE_WITHOUT_A_TIME", "P1", "LOGIN_FIRST ALL_FIRST", "a sign-in from before the command makes a copy of the new era"),
    Mutant("NO_COPY_IS_ERA_0", "ended", "LOGIN_MOVED", "the key of the user has moved, its copy has not: C seems to be of another era"),
    Mutant("ONE_LOOK_AT_THE_COPY", "ended", "LOGIN_MOVED", "the copy is read; a new era; C begins in it, and is judged by the old one"),
    # A sign-in.
    Mutant("ERA_NOT_COMPARED", "P1", "LOGIN_MOVED", "a sign-in begins; the command returns; C is made in the new era"),
    Mutant("TIME_OF_THE_ERA_IGNORED", "P1", "LOGIN_MOVED", "a sign-in begins; a new era; the sign-in reads it, and C is made"),
)
