"""On which terms a session may revoke others: the rules alone, to the second."""

from __future__ import annotations

import pytest

from sessionward.backends import RateLimited, SignInTooOld, Terms
from sessionward.session.rate import CALLS_WITHIN, MAX_RAISES, RAISES_WITHIN, ROUNDING, judge_recent, next_call, next_raise

NOW = 1_800_000_000.0
MICROSECOND = 1e-6


def judged(terms: Terms, authenticated_at: float | None) -> None:
    judge_recent(terms, authenticated_at=authenticated_at, now=NOW)


@pytest.mark.parametrize(
    ("recent", "age", "may"),
    [
        pytest.param(300.0, 0.0, True, id="at once"),
        pytest.param(300.0, 300.0, True, id="at the border"),
        pytest.param(300.0, 300.0 + ROUNDING, False, id="just beyond it"),
        pytest.param(300.0, -1.0, False, id="in the future"),
        pytest.param(300.0, None, False, id="nobody saw it"),
        pytest.param(0.0, 0.0, True, id="no age at all is allowed"),
        pytest.param(None, None, True, id="nobody saw it, and nobody asks"),
        pytest.param(None, 1e9, True, id="old, and nobody asks"),
    ],
)
def test_a_sign_in_must_not_be_older_than_the_terms_say(recent: float | None, age: float | None, may: bool) -> None:
    terms, at = Terms(recent=recent), None if age is None else NOW - age
    if may:
        judged(terms, at)
    else:
        with pytest.raises(SignInTooOld):
            judged(terms, at)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 59, 997, 3600, 100_000])
def test_exactly_so_many_calls_pass_in_one_moment(limit: int) -> None:
    at: float | None = None
    for _ in range(limit):
        at = round(next_call(at, NOW, limit), 6)  # as a database keeps it
    with pytest.raises(RateLimited) as refused:
        next_call(at, NOW, limit)
    wait = refused.value.retry_after
    assert wait == pytest.approx(CALLS_WITHIN / limit, abs=ROUNDING)
    with pytest.raises(RateLimited):
        next_call(at, NOW + wait - 2 * ROUNDING, limit)
    next_call(at, NOW + wait, limit)


@pytest.mark.parametrize("limit", [1, 3, 7, 60])
def test_who_keeps_to_the_rate_is_never_refused(limit: int) -> None:
    at: float | None = None
    for number in range(10 * limit):
        at = round(next_call(at, NOW + number * CALLS_WITHIN / limit, limit), 6)


@pytest.mark.parametrize("limit", [1, 3, 7, 60])
def test_no_hour_sees_twice_as_many_calls_as_the_limit(limit: int) -> None:
    at, passed, now = None, list[float](), NOW
    while now < NOW + 4 * CALLS_WITHIN:
        try:
            at = next_call(at, now, limit)
            passed.append(now)
        except RateLimited:
            pass
        now += 7.0
    assert max(sum(begin <= one < begin + CALLS_WITHIN for one in passed) for begin in passed) <= 2 * limit - 1


@pytest.mark.parametrize(
    ("at", "is_ignored"),
    [
        pytest.param(NOW + CALLS_WITHIN + 1, True, id="further than calls of now can bring it"),
        pytest.param(NOW + 365 * 86_400, True, id="a year ahead"),
        pytest.param(NOW + CALLS_WITHIN + MICROSECOND, False, id="rounded up by a database"),
        pytest.param(NOW + CALLS_WITHIN, False, id="as far as calls of now can bring it"),
        pytest.param(NOW + CALLS_WITHIN - 1, False, id="less far"),
        pytest.param(NOW - 1, True, id="past"),
    ],
)
def test_a_time_that_no_call_can_have_produced_is_ignored(at: float, is_ignored: bool) -> None:
    if is_ignored:
        assert next_call(at, NOW, 4) == NOW + CALLS_WITHIN / 4
    else:
        with pytest.raises(RateLimited):
            next_call(at, NOW, 4)


def test_raises_of_the_generation_follow_the_same_rule() -> None:
    at: float | None = None
    for _ in range(MAX_RAISES):
        at = next_raise(at, NOW)
        assert at is not None
    assert next_raise(at, NOW) is None
    assert next_raise(at, NOW + RAISES_WITHIN / MAX_RAISES) is not None


def test_the_terms_of_nobody_in_particular_spare_impersonations_only() -> None:
    assert Terms() == Terms(recent=None, rate_limit=None, impersonations=False)
