"""Every fault that an attack found in the first sidecar, its kind, and the test that fails where the fault is back."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]


class Kind(StrEnum):
    """What goes wrong in all faults of a kind."""

    FRAMING = "bytes of one message are read as another"
    IDENTITY = "a client gets, or gives itself, an identity that is not its own"
    LOST = "a request or an answer is lost or cut that nothing was wrong with"
    BOUND = "one client costs more than its share"
    LIFE = "the process starts, reloads or ends at the cost of requests"
    SETTING = "a configuration that cannot work is accepted, or a printed one does not work"
    FIELD = "a field is missing, or is one that should not be there"


class Fault(NamedTuple):
    what: str
    kind: Kind
    tests: Sequence[str]


TAKEOVER, LOGIN = "sidecar/test_faults_takeover.py::", "sidecar/test_faults_login.py::"
EXCHANGE, BOUNDS = "sidecar/test_faults_exchange.py::", "sidecar/test_faults_bounds.py::"
CONFIG, OBSERVED = "sidecar/test_config.py::", "sidecar/test_observed.py::"
REUSE, SCHEDULES = "sidecar/test_reuse.py::", "sidecar/test_schedules.py::"

FAULTS: Sequence[Fault] = (
    Fault(
        "a connection is free at the head of an answer to HEAD",
        Kind.FRAMING,
        [
            TAKEOVER + "test_an_answer_that_can_have_no_body_never_frees_its_connection",
            TAKEOVER + "test_an_upload_that_looks_like_an_answer_signs_nobody_in",
            SCHEDULES + "test_no_client_is_given_a_byte_that_belongs_to_another",
            SCHEDULES + "test_a_connection_that_is_free_at_the_head_is_caught",
        ],
    ),
    Fault(
        "a connection is free behind an answer that is longer than its Content-Length",
        Kind.FRAMING,
        [
            TAKEOVER + "test_bytes_in_the_packet_of_an_answer_reach_no_other_request",
            TAKEOVER + "test_bytes_that_come_late_but_before_the_next_request_reach_no_other_request",
            TAKEOVER + "test_a_request_never_goes_out_on_a_connection_that_has_something_to_read",
        ],
    ),
    Fault(
        "a connection is free although the upload that was answered has not ended",
        Kind.FRAMING,
        [TAKEOVER + "test_an_early_answer_to_an_unfinished_upload_never_frees_its_connection"],
    ),
    Fault(
        "whoever can shape the head of an answer signs in whom it likes",
        Kind.IDENTITY,
        [
            LOGIN + "test_without_its_proof_the_field_is_dropped_and_the_answer_passes",
            LOGIN + "test_the_proof_of_an_earlier_request_signs_nobody_in",
            LOGIN + "test_the_proof_of_a_request_that_is_under_way_signs_in_its_own_client_only",
            LOGIN + "test_elsewhere_than_in_the_final_head_the_field_signs_nobody_in",
            LOGIN + "test_a_client_cannot_choose_the_proof",
            LOGIN + "test_proofs_are_fresh_and_no_log_holds_one",
            LOGIN + "test_the_log_says_what_to_set",
        ],
    ),
    Fault(
        "a connection that NTLM or Negotiate has signed in serves another client",
        Kind.IDENTITY,
        [TAKEOVER + "test_a_connection_that_is_signed_in_by_itself_serves_no_other_client"],
    ),
    Fault(
        "a request that must not be repeated goes out on a connection that is being closed",
        Kind.LOST,
        [REUSE + "test_no_request_is_lost", TAKEOVER + "test_a_request_never_goes_out_on_a_connection_that_has_something_to_read"],
    ),
    Fault(
        "a trailer section has no end",
        Kind.BOUND,
        [BOUNDS + "test_what_is_neither_head_nor_body_is_bounded", BOUNDS + "test_a_trailer_section_of_an_answer_is_bounded"],
    ),
    Fault(
        "pipelined requests are all made at once",
        Kind.BOUND,
        [
            BOUNDS + "test_requests_behind_one_that_waits_are_not_made_before_their_turn",
            BOUNDS + "test_a_client_that_only_sends_is_not_read_without_end",
            EXCHANGE + "test_pipelined_requests_are_made_one_after_the_other",
        ],
    ),
    Fault("authz answers what is not read", Kind.BOUND, [BOUNDS + "test_authz_does_not_answer_what_is_not_read"]),
    Fault(
        "a client that does not read outlives every limit",
        Kind.BOUND,
        [
            BOUNDS + "test_clients_that_do_not_read_are_cut",
            BOUNDS + "test_term_does_not_wait_for_a_client_that_does_not_read",
            BOUNDS + "test_a_slow_but_steady_reader_is_never_cut",
        ],
    ),
    Fault(
        "one byte a minute holds a worker of the application",
        Kind.BOUND,
        [
            BOUNDS + "test_a_body_that_comes_byte_by_byte_is_a_408_and_frees_the_worker_of_the_application",
            BOUNDS + "test_a_head_that_comes_byte_by_byte_is_given_up",
            BOUNDS + "test_a_slow_but_steady_body_is_never_cut",
        ],
    ),
    Fault(
        "connections have no bound",
        Kind.BOUND,
        [
            BOUNDS + "test_connections_beyond_the_bound_are_refused_and_counted",
            BOUNDS + "test_connections_of_a_trusted_proxy_are_not_counted_by_address",
            BOUNDS + "test_a_connection_without_a_request_is_closed",
            BOUNDS + "test_a_tunnel_without_a_byte_is_closed_and_one_with_some_is_not",
        ],
    ),
    Fault(
        "an access log into a pipe that is not read stops the worker",
        Kind.BOUND,
        [OBSERVED + "test_a_pipe_without_a_reader_stops_no_request_and_what_is_lost_is_counted"],
    ),
    Fault(
        "Java's client cannot send a body, since it asks for h2c",
        Kind.LOST,
        [REUSE + "test_no_request_of_javas_client_is_lost", EXCHANGE + "test_an_upgrade_that_we_do_not_make_leaves_a_plain_request"],
    ),
    Fault(
        "a denied handshake that breaks off gets a second head",
        Kind.FRAMING,
        [EXCHANGE + "test_a_denied_handshake_that_breaks_off_gets_no_second_head"],
    ),
    Fault(
        "a 1xx with a body spills into the answer", Kind.FRAMING, [EXCHANGE + "test_a_1xx_with_a_body_is_a_502_and_spills_into_no_answer"]
    ),
    Fault(
        "the 400 of a pipelined request answers the one before it",
        Kind.FRAMING,
        [EXCHANGE + "test_the_refusal_of_a_pipelined_request_comes_behind_the_answer_to_the_one_before"],
    ),
    Fault(
        "a large upload in one read with the next head behind it is dropped",
        Kind.LOST,
        [EXCHANGE + "test_what_is_behind_a_large_upload_in_the_same_read_is_the_next_request"],
    ),
    Fault(
        "an answer is cut while the client is silent",
        Kind.LOST,
        [
            BOUNDS + "test_a_client_that_is_silent_while_it_is_answered_is_not_cut",
            BOUNDS + "test_an_upstream_that_takes_long_is_not_the_clients_fault",
        ],
    ),
    Fault("an idle WebSocket makes TERM take the whole time", Kind.LIFE, [BOUNDS + "test_term_does_not_wait_for_an_idle_tunnel"]),
    Fault(
        "a loop is not seen where the two addresses are spelled differently",
        Kind.SETTING,
        [CONFIG + "test_an_upstream_that_is_our_own_address_is_refused"],
    ),
    Fault(
        "an answer has no Date",
        Kind.FIELD,
        [
            EXCHANGE + "test_an_answer_of_ours_has_the_date",
            EXCHANGE + "test_an_answer_that_lacks_the_date_is_given_one_and_another_keeps_its_own",
            EXCHANGE + "test_an_upstream_failure_has_the_date_and_the_id",
        ],
    ),
    Fault("::ffff: is in X-Forwarded-For", Kind.FIELD, [EXCHANGE + "test_ipv4_is_never_spelled_as_ipv6"]),
    Fault("HTTP/1.0 without Host goes on without one", Kind.FIELD, [EXCHANGE + "test_http_1_0_without_a_host_is_given_one"]),
    Fault(
        "a Session-Login on a 101 is lost, and one beside a Session-Logout is believed",
        Kind.IDENTITY,
        [LOGIN + "test_a_101_signs_in_as_any_other_answer_does", LOGIN + "test_a_login_that_is_not_one_well_formed_field_is_a_502"],
    ),
    Fault("a method that the parser does not know is a 400", Kind.FIELD, [EXCHANGE + "test_a_method_that_is_not_known_is_a_501"]),
    Fault("an answer with a token can be stored by a cache", Kind.FIELD, [LOGIN + "test_an_answer_with_a_token_is_stored_by_no_cache"]),
    Fault("X-Request-Id is missing on one of two ways", Kind.FIELD, [EXCHANGE + "test_each_request_has_an_id_on_its_way"]),
    Fault(
        "names with underscores reach the application",
        Kind.FIELD,
        [EXCHANGE + "test_every_field_whose_name_has_an_underscore_is_dropped"],
    ),
    Fault(
        "the log of a refused request has neither its id nor its path",
        Kind.FIELD,
        [OBSERVED + "test_a_refused_request_is_logged_with_its_id_its_problem_and_what_is_known_of_it"],
    ),
)


@cache
def functions_of(file: str) -> frozenset[str]:
    """The test functions of a file, also those of its classes."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def named() -> Iterator[tuple[str, str]]:
    for fault in FAULTS:
        for test in fault.tests:
            yield fault.what, test


@pytest.mark.parametrize(("fault", "test"), list(named()), ids=[f"{what}: {test.partition('::')[2]}" for what, test in named()])
def test_the_test_of_a_fault_is_there(fault: str, test: str) -> None:
    file, _, name = test.partition("::")
    assert name in functions_of(file), fault


def test_each_fault_is_said_once_and_each_kind_has_one() -> None:
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)
    assert {fault.kind for fault in FAULTS} == set(Kind)


def test_each_test_of_the_parts_is_named_here() -> None:
    """A claim that belongs to no fault is a control: it shows that the others do not hold for the wrong reason."""
    mentioned = {test for _, test in named()}
    parts = sorted((TESTS / "sidecar").glob("test_faults_*.py"))
    controls = {
        "test_a_connection_of_an_answer_that_closes_is_not_used_again",
        "test_a_connection_of_a_whole_answer_is_used_again",
        "test_the_proof_of_the_request_signs_in_the_user",
        "test_a_browser_is_given_a_cookie",
        "test_what_is_announced_to_us_never_reaches_the_client_and_a_sign_out_is_believed_everywhere",
        "test_trace_and_connect_are_refused",
        "test_a_method_that_is_known_passes",
    }
    for part in parts:
        file = f"sidecar/{part.name}"
        tests = {name for name in functions_of(file) if name.startswith("test_")} - controls
        assert not {name for name in tests if f"{file}::{name}" not in mentioned}
