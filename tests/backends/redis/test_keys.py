"""What stands in Redis: the keys, how long they stay, and how a session is packed."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

import pytest

from sessionward import ConfigurationError, Session
from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.redis.call import Call
from sessionward.backends.redis.entry import NOBODY, moment
from sessionward.backends.redis.layout import KEPT, POINTERS, TAGS, Place, id_of
from sessionward.backends.redis.login import MANY, MOMENT, MOST
from sessionward.backends.redis.lua import CLOCK, PARTS, script
from sessionward.backends.redis.revoking import RATE
from sessionward.credential.token import Credential, new_token
from sessionward.errors import RateLimited
from sessionward.session.rate import CALLS_WITHIN, next_call
from sessionward.testing import Client
from sessionward.testing.companion_world import APP_SESSION, adopted
from tests.contract.redis_world import RedisWorld
from tests.contract.stepping import run_call

DAY = 86_400.0
SLACK = 5.0
"""Seconds that a test may take."""

ODD = ["{}", "}{", "{a}", "a}b{c", "*?[]^\\", ":u:ann", "\N{GRINNING FACE}", "x" * 255, "a b", "s"]
"""Users whose ids mean something to Redis, or to our keys."""


def left(world: RedisWorld, key: bytes) -> float:
    """For how many seconds a key stays; -1 for ever."""
    milliseconds: int = world.looker.pttl(key)
    return milliseconds / 1000 if milliseconds >= 0 else milliseconds


def key_of(world: RedisWorld, user: str = "ann") -> bytes:
    return world.place.owner(user).key


# --- names --------------------------------------------------------------------------------------------------------------


def test_each_user_has_a_key_and_each_key_one_user() -> None:
    place = Place(b"p")
    keys = [place.owner(user).key for user in ODD]
    assert len(set(keys)) == len(ODD)
    assert [place.owner_of(key) for key in keys] == [place.owner(user) for user in ODD]
    assert all(key.startswith(b"p:{" + place.owner(user).tag + b"}:u:") for user, key in zip(ODD, keys, strict=True))


def test_what_is_no_key_of_a_user_has_none() -> None:
    place, digest = Place(b"p"), bytes(range(32))
    right = place.owner("ann")
    others = [b"", b"p", place.overall, right.state, place.pointer(digest[:16]), place.app_session(digest).key, b"q" + right.key]
    wrong_tag = next(tag for tag in TAGS if tag != right.tag)
    others += [right.key.replace(right.tag, wrong_tag, 1), right.key + b"\xff"]
    assert [place.owner_of(key) for key in others] == [None] * len(others)


def test_the_tags_are_1024_and_all_are_used() -> None:
    place = Place(b"p")
    assert len(set(TAGS)) == 1024
    assert {place.owner(str(number)).tag for number in range(20_000)} == set(TAGS)


def test_an_id_is_a_uuid_of_version_8_and_half_of_the_digest() -> None:
    digest = Credential(new_token().encode()).digest
    own = id_of(digest)
    assert (own[6] >> 4, own[8] >> 6) == (8, 2)
    assert [byte for at, byte in enumerate(own) if at not in (6, 8)] == [byte for at, byte in enumerate(digest[:16]) if at not in (6, 8)]


def test_a_process_remembers_so_many_pointers_and_no_more() -> None:
    place = Place(b"p")
    for number in range(POINTERS + 10):
        place.remember(number.to_bytes(16), b"aaann")
    assert len(place.pointers) == POINTERS
    assert (9).to_bytes(16) not in place.pointers
    assert (10).to_bytes(16) in place.pointers


@pytest.mark.parametrize("prefix", ["", "{a}", "a}", 1], ids=repr)
@pytest.mark.parametrize("backend", [RedisBackend, AsyncRedisBackend])
def test_a_prefix_that_would_move_the_hash_tag_is_refused(backend: type[RedisBackend], prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        backend("redis://127.0.0.1", prefix=prefix)


@pytest.mark.parametrize("keep", [0, KEPT - 1, float("nan"), timedelta(minutes=59), "1"], ids=repr)
def test_less_than_an_hour_for_what_was_revoked_is_refused(keep: float) -> None:
    with pytest.raises(ConfigurationError, match="keep_revoked"):
        RedisBackend("redis://127.0.0.1", keep_revoked=keep)


class TestKeys:
    """What stands in a real server, and for how long."""

    @pytest.mark.parametrize("user", ODD)
    def test_users_with_odd_ids_are_apart(self, world: RedisWorld, user: str) -> None:
        bystander = world.sign_in("ann")
        own, other = world.sign_in(user), world.sign_in(user)
        assert world.found(own) == own.session
        assert world.sessions.list(user).total == 2
        assert world.sessions.revoke_others(own.session) == 1
        assert world.lives(own, other, bystander) == [True, False, True]
        assert world.sessions.purge(0.0) == 0

    def test_two_prefixes_are_two_installations(self, world: RedisWorld) -> None:
        own = world.sign_in()
        other = RedisWorld(world.url, world.looker)
        try:
            other.sessions.revoke_everybody()
            other.sessions.revoke_all("ann")
            assert other.lives(own) == [False]
            assert world.lives(own) == [True]
        finally:
            other.close()

    def test_neither_the_token_nor_its_whole_digest_is_a_key_and_the_token_is_nowhere(self, world: RedisWorld) -> None:
        client = world.sign_in()
        token = client.credential.reveal().encode()
        keys = list(world.keys())
        values = [*world.user().values(), world.looker.get(world.pointer(client)), *world.user()]
        assert not [text for text in [*keys, *values] if token in text]
        assert not [key for key in keys if client.credential.digest in key]

    def test_half_of_a_digest_proves_nothing(self, world: RedisWorld) -> None:
        client = world.sign_in()
        forged = Credential(b"forged")
        forged.digest = client.credential.digest[:16] + forged.digest[16:]
        assert world.sessions.find(forged) is None
        assert not world.sessions.check(forged).has_ended

    # --- what goes by itself

    def test_what_is_kept_of_a_user_whom_nobody_revoked_goes_with_the_last_session(self, world: RedisWorld) -> None:
        world.sign_in(lasts=DAY)
        short = world.sign_in(lasts=60.0)
        assert left(world, key_of(world)) == pytest.approx(DAY + 2 * KEPT + 60, abs=SLACK)
        world.log_out(short)
        assert left(world, key_of(world)) == pytest.approx(DAY + 2 * KEPT + 60, abs=SLACK)
        world.pass_time(DAY + 2 * KEPT + 70)
        assert list(world.keys("*u:*")) == list(world.keys("*t:*")) == []

    def test_a_user_who_was_revoked_is_never_forgotten(self, world: RedisWorld) -> None:
        world.sign_in("ann"), world.sign_in("bob")
        world.sessions.revoke_all("ann")
        world.sign_in("ann")
        adopted(world, "cid")
        world.log_out(adopted(world, "cid", app_session=b"2" * 32))
        assert [left(world, key_of(world, user)) > 0 for user in ("ann", "bob", "cid")] == [False, True, False]
        world.pass_time(400 * DAY)
        world.sessions.purge(0.0)
        assert world.sessions.begin_login("ann") == 1
        assert world.sessions.companion_status("cid", APP_SESSION).companion_required
        assert [sorted(world.user(user)) for user in ("ann", "bob", "cid")] == [[b"at", b"c", b"g"], [], [b"c"]]

    def test_a_pointer_stays_as_long_as_its_session_may_be_asked_about(self, world: RedisWorld) -> None:
        client = world.sign_in(lasts=DAY)
        assert left(world, world.pointer(client)) == pytest.approx(DAY + 2 * KEPT + 60, abs=SLACK)
        world.sessions.extend(client.session, lifetime=3 * DAY, app_session=None)
        assert left(world, world.pointer(client)) == pytest.approx(3 * DAY + 2 * KEPT + 60, abs=SLACK)
        assert left(world, key_of(world)) == pytest.approx(3 * DAY + 2 * KEPT + 60, abs=SLACK)
        world.sessions.extend(client.session, lifetime=DAY, app_session=None)
        assert left(world, world.pointer(client)) == pytest.approx(3 * DAY + 2 * KEPT + 60, abs=SLACK)

    def test_a_session_without_its_pointer_is_unknown_and_no_more(self, world: RedisWorld) -> None:
        own, lost = world.sign_in(), world.sign_in()
        world.looker.delete(world.pointer(lost))
        assert world.sessions.find(lost.credential) is None
        assert world.sessions.revoke_others(own.session) == 1

    def test_a_pointer_without_its_session_proves_nothing(self, world: RedisWorld) -> None:
        client = world.sign_in()
        world.looker.delete(key_of(world))
        assert world.sessions.find(client.credential) is None

    def test_nobody_moves_the_pointer_of_another_user(self, world: RedisWorld) -> None:
        client = world.sign_in(lasts=60.0)
        before = left(world, world.pointer(client))
        assert not world.sessions.extend(Session(id=client.session.id, user_id="bob"), lifetime=DAY, app_session=None)
        assert left(world, world.pointer(client)) <= before
        assert world.lives(client) == [True]

    def test_a_login_that_is_refused_leaves_no_pointer(self, world: RedisWorld) -> None:
        world.sessions.revoke_all("ann")
        with pytest.raises(Exception, match="sign in again"):
            world.login(generation=0)
        assert list(world.keys("*t:*")) == []

    # --- what is dropped with the next change

    @pytest.mark.parametrize("change", ["login", "revocation"])
    def test_what_ended_long_ago_goes_with_the_next_change(self, world: RedisWorld, change: str) -> None:
        own, out, _short = world.sign_in(lasts=10 * DAY), world.sign_in(lasts=10 * DAY), world.sign_in(lasts=60.0)
        world.log_out(out)
        world.pass_time(KEPT - 60)
        world.sign_in() if change == "login" else world.sessions.revoke_others(own.session)
        assert out.session.id.bytes in world.entries()
        world.pass_time(KEPT + 70)
        world.sign_in(lasts=10 * DAY) if change == "login" else world.sessions.revoke_others(own.session)
        assert out.session.id.bytes not in world.entries()
        assert own.session.id.bytes in world.entries()

    def test_the_marks_of_a_session_go_with_it(self, world: RedisWorld) -> None:
        own = world.sign_in(lasts=600.0)
        world.sessions.revoke_others_quietly(own.session)
        assert b"r" + own.session.id.bytes in world.user()
        world.pass_time(600 + KEPT + 10)
        world.sessions.revoke_all("ann")
        assert sorted(world.user()) == [b"at", b"c", b"g"]

    def test_a_user_with_very_many_sign_ins_does_not_grow_without_end(self, world: RedisWorld) -> None:
        """Without ``max_sessions``, each sign-in looks at a few at random, not at thousands."""
        first = world.sign_in(lasts=60.0)
        value = world.user()[first.session.id.bytes]
        old = {struct.pack(">QQ", number, number): value for number in range(2 * MANY)}
        world.looker.hset(key_of(world), mapping=old)
        world.sign_in(lasts=10 * DAY)
        world.pass_time(60 + KEPT + 10)
        before = len(world.user())
        for _ in range(50):
            world.sign_in(lasts=10 * DAY)
        assert len(world.user()) <= before + 50 - 50 * 10

    @pytest.mark.parametrize("limit", [None, 5], ids=["without a limit", "with max_sessions"])
    def test_of_a_user_who_signs_in_and_out_on_and_on_only_so_many_ended_sessions_are_kept(
        self, world: RedisWorld, limit: int | None
    ) -> None:
        own = world.sign_in(lasts=10 * DAY)
        for _ in range(3):
            for _ in range(MOST):
                client = world.login(generation=0, max_sessions=limit)
                world.log_out(client)
            world.pass_time(MOMENT + 1)
        world.login(generation=0, max_sessions=limit)
        reasons = [entry.reason for entry in world.entries().values()]
        assert reasons.count("one") == MOST
        assert world.lives(own) == [True]

    def test_what_ended_a_moment_ago_is_kept_whatever_its_number(self, world: RedisWorld) -> None:
        """A worker may still trust it, and must read that it has ended."""
        clients = [world.login(generation=0) for _ in range(MOST + 20)]
        for client in clients:
            world.log_out(client)
        world.pass_time(MOMENT - SLACK)
        world.login(generation=0, max_sessions=5)
        assert all(world.sessions.check(client.credential).has_ended for client in clients)

    def test_sessions_that_expired_are_kept_no_longer_than_others_that_are_not_live(self, world: RedisWorld) -> None:
        for _ in range(MOST + 20):
            world.login(generation=0, lasts=60.0)
        idled = world.adopt("ann", APP_SESSION, lasts=DAY, idle=60.0)
        assert idled is not None
        world.pass_time(70)
        world.login(generation=0, max_sessions=5)
        assert len(world.entries()) == MOST + 2
        assert world.sessions.companion_status("ann", APP_SESSION).companion_required, "one that was not used stays until its end"

    # --- what stays

    def test_a_session_that_ended_stays_with_time_reason_and_author(self, world: RedisWorld) -> None:
        expired, out, barred, replaced, one, other, own = world.sign_in(lasts=60.0), *(world.sign_in() for _ in range(6))
        world.pass_time(61)
        renewed = world.login(replaces=replaced)
        world.sessions.revoke_own(out.session.user_id, out.session.id)
        world.sessions.revoke(barred.session.user_id, barred.session.id)
        world.sessions.revoke_one(own.session, one.session.id)
        world.sessions.revoke_others(own.session)
        world.sessions.revoke_all("ann")
        kept = [world.entry(client) for client in (expired, out, barred, replaced, one, other, renewed, own)]
        assert [entry.reason for entry in kept] == ["expired", "logout", "one", "replaced", "one", "others", "others", "all"]
        authors: list[Client | None] = [None, out, None, renewed, own, own, own, None]
        assert [entry.ended_by for entry in kept] == [NOBODY if author is None else author.session.id.bytes for author in authors]
        assert all(abs(moment(entry.ended_at or 0) - datetime.now(UTC)) < timedelta(seconds=60) for entry in kept)
        assert {entry.user_agent for entry in kept} == {"a browser"}

    def test_begin_for_a_user_never_seen_writes_nothing_of_a_user(self, world: RedisWorld) -> None:
        assert world.sessions.begin_login("nobody") == 0
        assert world.sessions.find(Credential(new_token().encode())) is None
        assert list(world.sessions.list("nobody")) == []
        assert world.sessions.revoke("nobody", world.sign_in("ann").session.id) is False
        assert world.user("nobody") == {}

    # --- rules that are written twice

    @pytest.mark.parametrize("limit", [1, 7, 60])
    def test_the_rate_in_a_script_is_that_of_the_other_backends(self, world: RedisWorld, limit: int) -> None:
        rule = script("rate", CLOCK.replace("redis.call('TIME')", "{ARGV[1], 0}") + "local KEY = KEYS[1]\n" + PARTS + RATE + _ASK)
        at, in_script, now = None, "", 1_800_000_000
        for step in [0, 1, 2, 500, 3, 3, 700, 3600, 1, -50, -8000, 1, 1, 1, 1, 1, 3600 * 3, *[20] * 70]:
            now += step
            after, early = run_call(world.looker, Call(rule, b"any", (now, in_script, CALLS_WITHIN * 1e6 / limit)))
            retry_after = 0.0
            try:
                at = next_call(at, now, limit)
            except RateLimited as refused:
                retry_after = refused.retry_after
            assert float(early) / 1e6 == pytest.approx(retry_after, abs=0.001)
            if not retry_after:
                assert float(after) / 1e6 == pytest.approx(at, abs=0.001)
                in_script = after


_ASK = f"""
local after, early = one_more(tonumber(ARGV[2]), tonumber(ARGV[3]), {CALLS_WITHIN * 1e6:.0f})
return {{text(after), text(early)}}
"""
