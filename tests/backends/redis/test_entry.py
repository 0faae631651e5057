"""How a session is packed: what was packed is unpacked, whatever a browser or an application says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessionward.backends import Device, NewSession
from sessionward.backends.redis.entry import EPOCH, HEADER, NOBODY, flags_of, microseconds, moment, session_of, tail_of, unpacked
from sessionward.session.session import IMPERSONATION

DAY = 86_400.0

texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    methods=st.lists(st.sampled_from(["password", "totp", "x" * 300]), max_size=9),
    kind=st.sampled_from(["", IMPERSONATION, "other"]),
    actor=texts,
    address=texts,
    agent=texts,
    app_session=st.none() | st.binary(min_size=32, max_size=32),
    idle=st.none() | st.floats(1.0, 1e6),
    is_fresh=st.booleans(),
)
def test_a_session_is_unpacked_as_it_was_packed(
    methods: list[str],
    kind: str,
    actor: str | None,
    address: str | None,
    agent: str | None,
    app_session: bytes | None,
    idle: float | None,
    is_fresh: bool,
) -> None:
    new = NewSession(
        user_id="ann",
        digest=bytes(32),
        lifetime=DAY,
        methods=methods,
        kind=kind,
        actor=actor,
        device=Device(ip_address=address, user_agent=agent),
        app_session=app_session,
        idle_timeout=idle,
        is_fresh=is_fresh,
    )
    head = HEADER.pack(bytes(16), 0, flags_of(new), 7, 1, 2, 3, 4, (2**62 - 1).to_bytes(8, "little"))
    entry = unpacked(head + tail_of(new))
    assert (entry.reason, entry.generation, entry.issued_at, entry.expires_at, entry.ends_at, entry.seen_at) == ("", 7, 1, 2, 3, 4)
    assert (entry.era, entry.ended_at, entry.ended_by) == (2**62 - 1, None, NOBODY)
    assert entry.methods == tuple(" ".join(methods)[:255].split())
    assert (entry.kind, entry.actor, entry.app_session) == (kind, actor, app_session)
    assert (entry.ip_address, entry.user_agent) == (address or None, agent or None)
    session = session_of("ann", bytes(16), head + tail_of(new), 9)
    assert (session.authenticated_at is not None, session.ends_at is not None) == (is_fresh, idle is not None)
    assert (session.generation, session.app_session, session.kind, session.actor) == (9, app_session, kind, actor)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the zone is added
def test_a_time_is_exact_to_a_microsecond(at: datetime) -> None:
    assert moment(microseconds(at)) == at
    assert EPOCH + timedelta(microseconds=microseconds(at)) == at


def test_half_a_surrogate_pair_in_what_a_browser_says_is_kept() -> None:
    new = NewSession(user_id="ann", digest=bytes(32), lifetime=DAY, device=Device(user_agent="a\ud800b"))
    assert unpacked(bytes(62) + tail_of(new)).user_agent == "a\ud800b"
