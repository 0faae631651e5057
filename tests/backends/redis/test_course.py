"""What the replies of servers mean for a flow, without a server: each step is taken by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends.redis.call import Call, Flow, NotHere, Script
from sessionward.backends.redis.course import ROUNDS, Course
from sessionward.backends.redis.part import Wait
from sessionward.backends.redis.topology import MOVES, BehindSentinels, InCluster, OneServer, Topology, slot_of
from sessionward.backends.redis.wire import Lost, Node, Pause, Send, Step, packed, packed_call
from sessionward.errors import OutcomeUnknown

SCRIPT = Script("check", "#!lua flags=allow-oom\nreturn 1")
OTHER = Script("revoke", "#!lua flags=allow-oom\nreturn 2")
A, B, C = Node("10.0.0.1", 7001), Node("10.0.0.2", 7002), Node("10.0.0.3", 7003)
KEY = b"p:{a}:u:somebody"
SLOT = slot_of(KEY)
WAIT = Wait(2, 500)


def read(key: bytes = KEY) -> Flow[Any]:
    return (yield Call(SCRIPT, key, (b"secret",)))


def write(key: bytes = KEY) -> Flow[Any]:
    return (yield Call(OTHER, key, (b"secret",), writes=True, lasts=True))


def write_and_read() -> Flow[Any]:
    yield Call(OTHER, KEY, (), writes=True)
    return (yield Call(SCRIPT, KEY))


def several(writes: bool, *keys: bytes) -> Flow[Any]:
    return (yield [Call(SCRIPT, key, writes=writes, lasts=True) for key in keys])


def one_server() -> Topology:
    return OneServer(A)


def cluster(*owners: Node) -> InCluster:
    """A cluster whose slots are shared out evenly."""
    topology = InCluster([A])
    course, _ = begun(read(), topology)
    course.go_on([slots(*owners)])
    course.close()
    return topology


def slots(*owners: Node) -> list[Any]:
    width = 16_384 // len(owners)
    rows = [[n * width, (n + 1) * width - 1, [owner.host.encode(), owner.port, b"id"]] for n, owner in enumerate(owners)]
    rows[-1][1] = 16_383
    return rows


def begun(flow: Flow[Any], topology: Topology, wait: Wait | None = None) -> tuple[Course[Any], Step | None]:
    course: Course[Any] = Course(flow, topology, wait)
    return course, course.go_on()


def sent(step: Step | None) -> Send:
    assert isinstance(step, Send)
    return step


def both(step: Step | None) -> Sequence[Send]:
    assert isinstance(step, list)
    return step


# --- the commands


def test_a_call_goes_out_as_the_digest_of_its_script_its_key_and_its_arguments() -> None:
    call = Call(SCRIPT, b"k", ("é", 7, 1.5, b"\r\n"))
    assert packed_call(call) == packed(b"EVALSHA", SCRIPT.sha, 1, b"k", "é", 7, 1.5, b"\r\n")
    assert packed("é", 7) == b"*2\r\n$2\r\n\xc3\xa9\r\n$1\r\n7\r\n"


def test_what_is_shown_of_a_send_has_no_key_and_no_argument() -> None:
    _, step = begun(read(), one_server())
    assert "secret" not in repr(step)
    assert "somebody" not in repr(step)


@pytest.mark.parametrize(
    ("key", "like"),
    [(b"p:{a}:u:x", b"a"), (b"{a}{b}", b"a"), (b"{}{b}", b"{}{b}"), (b"x{", b"x{"), (b"p:{a", b"p:{a"), (b"", b"")],
    ids=["a tag", "the first of two", "an empty one counts for nothing", "none", "one that is open", "an empty key"],
)
def test_the_slot_of_a_key_is_that_of_its_first_tag(key: bytes, like: bytes) -> None:
    from redis.crc import key_slot

    assert slot_of(key) == key_slot(key) == key_slot(like)


# --- answers


def test_the_reply_to_a_call_is_what_the_flow_gets() -> None:
    course, step = begun(read(), one_server())
    assert sent(step).node == A
    assert course.go_on([b"live"]) is None
    assert course.answer == b"live"


def test_calls_that_go_out_at_once_are_one_send_for_each_server_and_the_replies_are_in_order() -> None:
    topology = cluster(A, B)
    keys = sorted((b"%d" % n for n in range(8)), key=slot_of)
    halves = [[key for key in keys if topology.node_of(key) == node] for node in (A, B)]
    mixed = [key for pair in zip(*halves, strict=False) for key in pair]
    course, step = begun(several(False, *mixed), topology)
    sends = both(step)
    assert {send.node for send in sends} == {A, B}
    names = {A: b"A", B: b"B"}
    course.go_on([[b"%s%d" % (names[send.node], n) for n in range(send.replies)] for send in sends])
    assert course.answer == [b"%s%d" % (side, n) for n in range(len(mixed) // 2) for side in (b"A", b"B")]


def test_a_server_without_the_script_gets_its_text_once() -> None:
    course, step = begun(several(False, b"{a}1", b"{a}2", b"{a}3"), one_server())
    step = course.go_on([NoScriptError("No matching script")] * 3)
    assert sent(step).payload.count(b"EVALSHA") == 2
    assert sent(step).payload.count(b"$4\r\nEVAL\r\n") == 1
    assert course.go_on([1, 2, 3]) is None
    assert course.answer == [1, 2, 3]


# --- where a key is


def test_a_slot_that_has_moved_is_asked_at_its_new_server_from_then_on() -> None:
    topology = cluster(A, B)
    course, step = begun(read(), topology)
    first = sent(step).node
    assert sent(course.go_on([MovedError(f"{SLOT} {C.host}:{C.port}")])).node == C
    course.go_on([b"live"])
    assert course.answer == b"live"
    assert first != C
    assert topology.node_of(KEY) == C


def test_a_slot_on_its_way_is_asked_for_once_at_the_other_server() -> None:
    topology = cluster(A, B)
    course, step = begun(read(), topology)
    home = sent(step).node
    asking = sent(course.go_on([AskError(f"{SLOT} {C.host}:{C.port}")]))
    assert asking.node == C
    assert asking.payload.startswith(packed(b"ASKING"))
    course.go_on([b"OK", b"live"])
    assert course.answer == b"live"
    assert topology.node_of(KEY) == home


def test_the_server_that_is_asked_for_a_slot_on_its_way_may_not_have_the_script() -> None:
    course, _ = begun(read(), cluster(A))
    course.go_on([AskError(f"{SLOT} {C.host}:{C.port}")])
    again = sent(course.go_on([b"OK", NoScriptError("No matching script")]))
    assert again.node == C
    assert again.payload.startswith(packed(b"ASKING"))
    assert b"$4\r\nEVAL\r\n" in again.payload
    course.go_on([b"OK", b"live"])
    assert course.answer == b"live"


def test_a_server_to_which_a_slot_has_moved_may_have_the_script() -> None:
    course, _ = begun(read(), cluster(A))
    course.go_on([NoScriptError("No matching script")])
    assert SCRIPT.head in sent(course.go_on([MovedError(f"{SLOT} {C.host}:{C.port}")])).payload


def test_a_moved_slot_whose_host_is_empty_is_on_the_host_that_was_asked() -> None:
    course, _ = begun(read(), cluster(A))
    assert sent(course.go_on([MovedError(f"{SLOT} :7009")])).node == Node(A.host, 7009)


def test_after_some_slots_have_moved_the_table_is_read_anew() -> None:
    topology = cluster(A)
    for number in range(MOVES):
        course, _ = begun(read(), topology)
        assert sent(course.go_on([MovedError(f"{number} {B.host}:{B.port}")])).node == B
        course.go_on([b"live"])
    _, step = begun(read(), topology)
    assert sent(step).is_lookup


def test_a_slot_in_between_is_asked_again_after_a_pause() -> None:
    course, _ = begun(read(), cluster(A))
    assert isinstance(course.go_on([TryAgainError("Multiple keys request during rehashing of slot")]), Pause)
    assert sent(course.go_on(None)).node == A


def test_a_call_is_not_sent_on_for_ever() -> None:
    course, _ = begun(write(), cluster(A, B))
    moves = [MovedError(f"{SLOT} {target.host}:{target.port}") for target in (B, C)]
    for turn in range(ROUNDS):
        course.go_on([moves[turn % 2]])
    with pytest.raises(BackendUnavailable, match="sent a call on") as failed:
        course.go_on([moves[ROUNDS % 2]])
    assert not isinstance(failed.value, OutcomeUnknown)


def test_a_cluster_behind_the_url_of_one_server_is_a_mistake_with_a_way_out() -> None:
    course, _ = begun(read(), one_server())
    with pytest.raises(ConfigurationError, match=r"redis\+cluster://"):
        course.go_on([MovedError(f"{SLOT} {C.host}:{C.port}")])


def test_a_server_that_cannot_be_reached_is_looked_up_and_its_successor_asked() -> None:
    course, step = begun(write(), cluster(A))
    assert sent(step).node == A
    looking = sent(course.go_on(Lost("no connection")))
    assert looking.is_lookup
    assert sent(course.go_on([slots(B)])).node == B
    course.go_on([b"done"])
    assert course.answer == b"done"


def test_a_server_that_cannot_be_reached_and_has_no_successor_is_unavailable() -> None:
    course, _ = begun(write(), cluster(A))
    course.go_on(Lost("no connection to A"))
    with pytest.raises(BackendUnavailable, match="no connection to A") as failed:
        course.go_on([slots(A)])
    assert not isinstance(failed.value, OutcomeUnknown)


def test_the_sentinels_are_asked_one_after_the_other_until_one_knows_the_primary() -> None:
    sentinels = [Node("s1", 1, True), Node("s2", 2, True), Node("s3", 3, True)]
    topology = BehindSentinels(sentinels, "mymaster")
    course, step = begun(read(), topology)
    assert sent(step).node == sentinels[0]
    assert sent(course.go_on(Lost("refused"))).node == sentinels[1]
    assert sent(course.go_on([None])).node == sentinels[2]
    assert sent(course.go_on([[b"10.0.0.1", b"7001"]])).node == A
    course.go_on([b"live"])
    assert sent(next(topology.look_up())).node == sentinels[2], "the one that knew it is asked first"


SENTINELS = [Node("s1", 1, True), Node("s2", 2, True), Node("s3", 3, True)]


def named(node: Node) -> list[Any]:
    return [[node.host.encode(), str(node.port).encode()]]


@pytest.mark.parametrize(
    "failure", [Lost("no connection"), [ReadOnlyError("You can't write against a read only replica.")]], ids=["gone", "demoted"]
)
def test_a_sentinel_that_goes_on_naming_the_old_primary_is_not_believed(failure: Any) -> None:
    topology = BehindSentinels(SENTINELS, "mymaster")
    course, step = begun(write(), topology)
    assert sent(step).node == SENTINELS[0]
    assert sent(course.go_on(named(A))).node == A
    assert sent(course.go_on(failure)).node == SENTINELS[1], "the one that has named it is asked last"
    assert sent(course.go_on(named(A))).node == SENTINELS[2]
    assert sent(course.go_on(named(B))).node == B
    course.go_on([b"done"])
    _, step = begun(write(), topology)
    assert sent(step).node == B


def test_a_primary_that_all_sentinels_name_is_given_up_after_each_was_asked_once() -> None:
    topology = BehindSentinels(SENTINELS, "mymaster")
    course, _ = begun(write(), topology)
    course.go_on(named(A))
    asked = [sent(course.go_on(reply)).node for reply in (Lost("no connection to A"), named(A), named(A))]
    assert asked == [SENTINELS[1], SENTINELS[2], SENTINELS[0]]
    with pytest.raises(BackendUnavailable, match="no connection to A") as failed:
        course.go_on(named(A))
    assert not isinstance(failed.value, OutcomeUnknown)
    _, step = begun(write(), topology)
    assert sent(step).node == A, "it may be there again"


def test_two_sentinels_that_contradict_each_other_are_asked_until_each_server_has_failed() -> None:
    course, _ = begun(write(), BehindSentinels(SENTINELS[:2], "mymaster"))
    for reply in (named(A), Lost("no connection to A"), named(B), Lost("no connection to B"), named(A)):
        course.go_on(reply)
    with pytest.raises(BackendUnavailable, match="no connection to B"):
        course.go_on(named(B))


@pytest.mark.parametrize("is_sent", [False, True], ids=["no connection", "no reply"])
def test_a_primary_whose_time_was_up_is_looked_up_by_the_next_call(is_sent: bool) -> None:
    topology = BehindSentinels(SENTINELS, "mymaster")
    course, _ = begun(read(), topology)
    sent(course.go_on(named(A))).is_sent = is_sent
    said = str(course.late(2.0))
    assert said == (f"Redis at {A} did not answer within 2 s" if is_sent else f"no connection to Redis at {A} within 2 s")
    course.close()
    _, step = begun(read(), topology)
    assert sent(step).node == SENTINELS[1]


def test_a_sentinel_that_took_all_the_time_is_asked_last_by_the_next_call() -> None:
    topology = BehindSentinels(SENTINELS, "mymaster")
    course, _ = begun(read(), topology)
    course.late(0.1)
    course.close()
    _, step = begun(read(), topology)
    assert sent(step).node == SENTINELS[1]


def test_after_a_write_a_server_that_is_found_to_be_wrong_makes_the_outcome_unknown() -> None:
    course, _ = begun(write_and_read(), one_server())
    course.go_on([b"done"])
    with pytest.raises(OutcomeUnknown, match=r"redis\+cluster://"):
        course.go_on([MovedError(f"{SLOT} {C.host}:{C.port}")])


@pytest.mark.parametrize("was_sent", [True, False], ids=["sent", "not sent"])
def test_a_link_that_finds_a_server_to_be_wrong_makes_the_outcome_unknown_only_if_a_write_was_sent(was_sent: bool) -> None:
    course, step = begun(several(True, b"{a}", b"{b}", b"{c}", b"{d}"), cluster(A, B, C))
    both(step)[0].is_sent = was_sent
    assert isinstance(course.refused(ConfigurationError("server: too old")), OutcomeUnknown) is was_sent


@pytest.mark.parametrize(
    ("reply", "why"),
    [([None], "knows no primary of the name 'mymaster'"), ([ResponseError("NOAUTH x")], "refuses"), (Lost("gone"), "no Sentinel answers")],
    ids=["none of this name", "refused", "lost"],
)
def test_a_primary_that_no_sentinel_knows_is_unavailable(reply: Any, why: str) -> None:
    course, _ = begun(write(), BehindSentinels([Node("s1", 1, True)], "mymaster"))
    with pytest.raises(BackendUnavailable, match=why) as failed:
        course.go_on(reply)
    assert not isinstance(failed.value, OutcomeUnknown)


def test_a_primary_that_was_demoted_is_looked_up_and_its_successor_asked() -> None:
    topology = BehindSentinels([Node("s1", 1, True)], "mymaster")
    course, _ = begun(write(), topology)
    course.go_on([[A.host.encode(), b"7001"]])
    assert sent(course.go_on([ReadOnlyError("You can't write against a read only replica.")])).is_lookup
    assert sent(course.go_on([[B.host.encode(), b"7002"]])).node == B


def test_a_server_that_is_a_replica_has_not_run_the_script() -> None:
    course, _ = begun(write(), one_server())
    with pytest.raises(BackendUnavailable, match="replica") as failed:
        course.go_on([ReadOnlyError("You can't write against a read only replica.")])
    assert not isinstance(failed.value, OutcomeUnknown)


def test_a_server_without_a_cluster_behind_the_url_of_one_is_a_mistake_with_a_way_out() -> None:
    course, step = begun(read(), InCluster([A]))
    assert sent(step).is_lookup
    with pytest.raises(ConfigurationError, match="redis://"):
        course.go_on([ResponseError("ERR This instance has cluster support disabled")])


# --- failures

NOT_RUN = [
    ClusterDownError("The cluster is down"),
    BusyLoadingError("Redis is loading the dataset in memory"),
    MasterDownError("Link with MASTER is down"),
    AuthenticationError("Authentication required."),
    NoPermissionError("User x has no permissions to run the 'evalsha' command"),
    OutOfMemoryError("allow-oom flag is not set on the script,  can not run it when used memory > 'maxmemory'"),
    ResponseError("NOREPLICAS Not enough good replicas to write."),
    ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
    ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
]
IN_DOUBT = [
    ResponseError("ERR Error running script: user_script:3: attempt to index a nil value"),
    OutOfMemoryError("command not allowed when used memory > 'maxmemory'. script: 0f, on @user_script:2."),
    ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value script: 0f, on @user_script:2."),
    ReadOnlyError("You can't write against a read only replica. script: 0f, on @user_script:2."),
    ResponseError("SOMETHING new"),
    ResponseError("secret: not a number"),
]


def title(error: Exception) -> str:
    return str(error).split(".")[0][:40]


@pytest.mark.parametrize("error", NOT_RUN, ids=title)
@pytest.mark.parametrize("flow", [read, write])
def test_what_a_server_has_refused_to_run_is_unavailable(error: Exception, flow: Callable[[], Flow[Any]]) -> None:
    course, _ = begun(flow(), cluster(A))
    with pytest.raises(BackendUnavailable, match="did not run") as failed:
        course.go_on([error])
    assert not isinstance(failed.value, OutcomeUnknown)


@pytest.mark.parametrize("error", IN_DOUBT, ids=title)
def test_what_has_failed_on_its_way_is_unknown_if_it_writes(error: Exception) -> None:
    course, _ = begun(write(), one_server())
    with pytest.raises(OutcomeUnknown):
        course.go_on([error])
    course, _ = begun(read(), one_server())
    with pytest.raises(BackendUnavailable) as failed:
        course.go_on([error])
    assert not isinstance(failed.value, OutcomeUnknown)


@pytest.mark.parametrize("was_sent", [True, False], ids=["sent", "not sent"])
@pytest.mark.parametrize(("flow", "writes"), [(read, False), (write, True)], ids=["reads", "writes"])
def test_a_lost_reply_is_unknown_only_if_a_write_was_sent(flow: Callable[[], Flow[Any]], writes: bool, was_sent: bool) -> None:
    course, step = begun(flow(), one_server())
    sent(step).is_sent = was_sent
    with pytest.raises(BackendUnavailable, match="broke") as failed:
        course.go_on(Lost("the connection broke"))
    assert isinstance(failed.value, OutcomeUnknown) is (writes and was_sent)


@pytest.mark.parametrize("was_sent", [True, False], ids=["sent", "not sent"])
@pytest.mark.parametrize(("flow", "writes"), [(read, False), (write, True)], ids=["reads", "writes"])
def test_time_that_is_up_is_unknown_only_if_a_write_was_sent(flow: Callable[[], Flow[Any]], writes: bool, was_sent: bool) -> None:
    course, step = begun(flow(), one_server())
    sent(step).is_sent = was_sent
    assert isinstance(course.late(2.0), OutcomeUnknown) is (writes and was_sent)


@pytest.mark.parametrize("reply", [Lost("gone"), [NOT_RUN[0]], [IN_DOUBT[0]]], ids=["lost", "refused", "failed"])
def test_after_a_write_each_failure_is_unknown(reply: Any) -> None:
    course, _ = begun(write_and_read(), one_server())
    course.go_on([b"done"])
    with pytest.raises(OutcomeUnknown):
        course.go_on(reply)


def test_time_that_is_up_after_a_write_is_unknown() -> None:
    course, _ = begun(write_and_read(), one_server())
    course.go_on([b"done"])
    assert isinstance(course.late(2.0), OutcomeUnknown)


def test_one_lost_reply_of_several_makes_all_of_them_unknown() -> None:
    course, step = begun(several(True, b"{a}", b"{b}", b"{c}", b"{d}"), cluster(A, B, C))
    sends = both(step)
    sends[0].is_sent = True
    with pytest.raises(OutcomeUnknown):
        course.go_on([Lost("gone"), *([b"done"] * send.replies for send in sends[1:])])


def test_a_refused_call_among_several_that_have_run_is_unknown() -> None:
    course, step = begun(several(True, b"{a}1", b"{a}2"), one_server())
    with pytest.raises(OutcomeUnknown):
        course.go_on([b"done", NOT_RUN[0]])
    assert isinstance(step, Send)


def test_a_call_in_doubt_among_several_that_were_refused_makes_all_of_them_unknown() -> None:
    course, _ = begun(several(True, b"{a}1", b"{a}2"), one_server())
    with pytest.raises(OutcomeUnknown):
        course.go_on([NOT_RUN[0], IN_DOUBT[0]])


def test_a_cluster_that_is_down_is_looked_up_before_the_next_call() -> None:
    topology = cluster(A)
    course, _ = begun(read(), topology)
    with pytest.raises(BackendUnavailable):
        course.go_on([ClusterDownError("The cluster is down")])
    _, step = begun(read(), topology)
    assert sent(step).is_lookup


@pytest.mark.parametrize("error", [*NOT_RUN, *IN_DOUBT], ids=title)
def test_no_failure_shows_what_the_script_was_given(error: Exception) -> None:
    course, _ = begun(write(), one_server())
    with pytest.raises(BackendUnavailable) as failed:
        course.go_on([error])
    assert "secret" not in str(failed.value)
    assert "somebody" not in str(failed.value)


def test_a_key_that_was_not_declared_and_is_elsewhere_is_told_to_the_flow() -> None:
    told: list[str] = []

    def flow() -> Flow[Any]:
        try:
            yield Call(SCRIPT, KEY)
        except NotHere:
            told.append("not here")
        return (yield Call(OTHER, KEY))

    course, _ = begun(flow(), cluster(A))
    error = ResponseError("ERR Script attempted to access a non local key in a cluster node script: 0f, on @user_script:2.")
    assert OTHER.head in sent(course.go_on([error])).payload
    assert told == ["not here"]


def test_of_calls_at_once_the_one_that_is_not_here_has_it_in_place_of_its_reply_and_no_other_is_sent_again() -> None:
    def flow() -> Flow[Any]:
        return (yield [Call(SCRIPT, KEY, writes=True), Call(OTHER, KEY, writes=True)])

    course, _ = begun(flow(), cluster(A))
    course.go_on([7, ResponseError("ERR Script attempted to access a non local key in a cluster node script: 0f, on @user_script:2.")])
    first, second = course.answer
    assert first == 7
    assert isinstance(second, NotHere)


# --- answers that must last


def test_an_answer_that_must_last_is_followed_by_wait_on_the_same_connection() -> None:
    course, step = begun(write(), one_server(), WAIT)
    assert sent(step).payload.endswith(packed(b"WAIT", 2, 500))
    course.go_on([b"done", 2])
    assert course.answer == b"done"


def test_other_answers_wait_for_no_replica() -> None:
    _, step = begun(read(), one_server(), WAIT)
    assert b"WAIT" not in sent(step).payload


@pytest.mark.parametrize(
    ("confirmed", "why"),
    [(1, "1 of 2 replicas confirmed"), (ResponseError("UNBLOCKED force unblock from blocking operation"), "UNBLOCKED")],
    ids=["too few", "unblocked"],
)
def test_an_answer_that_too_few_replicas_have_is_unknown(confirmed: Any, why: str) -> None:
    course, _ = begun(write(), one_server(), WAIT)
    with pytest.raises(OutcomeUnknown, match=why):
        course.go_on([b"done", confirmed])


def test_an_answer_that_must_last_is_unknown_without_its_replicas_whatever_its_script_does() -> None:
    def flow() -> Flow[Any]:
        return (yield Call(SCRIPT, KEY, lasts=True))

    course, _ = begun(flow(), one_server(), WAIT)
    with pytest.raises(OutcomeUnknown):
        course.go_on([b"done", 1])


def test_a_script_that_did_not_run_does_not_count_as_confirmed() -> None:
    course, _ = begun(write(), one_server(), WAIT)
    again = sent(course.go_on([NoScriptError("No matching script"), 0]))
    assert again.payload.endswith(packed(b"WAIT", 2, 500))
    with pytest.raises(OutcomeUnknown):
        course.go_on([b"done", 0])


def test_an_answer_that_must_last_is_confirmed_by_the_server_that_has_run_it() -> None:
    course, _ = begun(write(), cluster(A), WAIT)
    moved = sent(course.go_on([MovedError(f"{SLOT} {B.host}:{B.port}"), 2]))
    assert moved.node == B
    assert moved.payload.endswith(packed(b"WAIT", 2, 500))
    asking = sent(course.go_on([AskError(f"{SLOT} {C.host}:{C.port}"), 2]))
    assert (asking.node, asking.replies) == (C, 3)
    course.go_on([b"OK", b"done", 2])
    assert course.answer == b"done"
