"""Times of the page: how long ago, and how long still, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest

from sessionward.api.page.languages import catalogue
from sessionward.api.page.times import absolute, ago, machine, until
from sessionward.settings.page import LANGUAGES

NOW: Final = datetime(2026, 11, 28, 13, 25, 7, 250_000, tzinfo=UTC)
ENGLISH: Final = catalogue("en")


@pytest.mark.parametrize(
    ("distance", "past", "future"),
    [
        pytest.param(timedelta(seconds=-5), "less than a minute ago", "in less than a minute", id="on the other side of now"),
        pytest.param(timedelta(0), "less than a minute ago", "in less than a minute", id="now"),
        pytest.param(timedelta(seconds=59.9), "less than a minute ago", "in less than a minute", id="nearly a minute"),
        pytest.param(timedelta(minutes=1), "1 minute ago", "in 1 minute", id="a minute"),
        pytest.param(timedelta(seconds=119), "1 minute ago", "in 1 minute", id="nearly two minutes"),
        pytest.param(timedelta(minutes=59.9), "59 minutes ago", "in 59 minutes", id="nearly an hour"),
        pytest.param(timedelta(hours=1), "1 hour ago", "in 1 hour", id="an hour"),
        pytest.param(timedelta(hours=23.9), "23 hours ago", "in 23 hours", id="nearly a day"),
        pytest.param(timedelta(days=1), "1 day ago", "in 1 day", id="a day"),
        pytest.param(timedelta(days=30.9), "30 days ago", "in 30 days", id="the last number of days"),
        pytest.param(timedelta(days=31), "on 2026-10-28", "on 2026-12-29", id="a date"),
        pytest.param(timedelta(days=400), "on 2025-10-24", "on 2028-01-02", id="another year"),
    ],
)
def test_a_time_is_said_in_the_largest_unit_that_it_has(distance: timedelta, past: str, future: str) -> None:
    assert ago(NOW - distance, NOW, ENGLISH) == past
    assert until(NOW + distance, NOW, ENGLISH) == future


@pytest.mark.parametrize(
    ("language", "past", "future", "date"),
    [
        pytest.param("de", "vor 2 Stunden", "in 2 Stunden", "am 2026-08-20", id="German"),
        pytest.param("fr", "il y a 2 heures", "dans 2 heures", "le 2026-08-20", id="French"),
        pytest.param("es", "hace 2 horas", "dentro de 2 horas", "el 2026-08-20", id="Spanish"),
        pytest.param("ja", "2 時間前", "2 時間後", "2026-08-20", id="Japanese"),
        pytest.param(
            "ar", "قبل ساعتين", "خلال ساعتين", "بتاريخ \u20662026-08-20\u2069", id="Arabic, whose signs would turn the date round"
        ),
    ],
)
def test_a_time_is_said_in_the_readers_language(language: str, past: str, future: str, date: str) -> None:
    say = catalogue(language)
    assert ago(NOW - timedelta(hours=2), NOW, say) == past
    assert until(NOW + timedelta(hours=2), NOW, say) == future
    assert ago(NOW - timedelta(days=100), NOW, say) == date


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_times_are_said_alike(language: str) -> None:
    """In each language every number of minutes, hours and days is another sentence: no form of a plural is another's."""
    say = catalogue(language)
    distances = [timedelta(**{unit: count}) for unit, most in (("minutes", 60), ("hours", 24), ("days", 31)) for count in range(1, most)]
    assert len({ago(NOW - distance, NOW, say) for distance in distances}) == len(distances)
    assert len({until(NOW + distance, NOW, say) for distance in distances}) == len(distances)


def test_an_absolute_time_is_in_utc_whatever_its_zone() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert absolute(tokyo) == "2026-11-28 13:25 UTC"
    assert machine(tokyo) == "2026-11-28T13:25:07Z"
    assert ago(tokyo - timedelta(days=50), NOW, ENGLISH) == "on 2026-10-09"
