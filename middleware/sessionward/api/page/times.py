"""Times of the page, in words that the server can choose: it knows neither the reader's zone nor how a country writes a date.

``now`` is the clock of the backend that wrote the other times. Minutes are the finest unit, since last use is kept to a minute.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from sessionward.api.page.languages import Catalogue

MAX_DAYS: Final = 30
"""Beyond it a date says more than a number of days."""
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def ago(moment: datetime, now: datetime, catalogue: Catalogue) -> str:
    """Returns how long ago a moment was: "3 hours ago", "on 2026-10-01". A moment to come is less than a minute ago."""
    past = now - moment
    if past < _MINUTE:
        return catalogue.gettext("less than a minute ago")
    if past < _HOUR:
        count = past // _MINUTE
        return catalogue.ngettext("%(count)s minute ago", "%(count)s minutes ago", count) % {"count": count}
    if past < _DAY:
        count = past // _HOUR
        return catalogue.ngettext("%(count)s hour ago", "%(count)s hours ago", count) % {"count": count}
    if past < (MAX_DAYS + 1) * _DAY:
        count = past // _DAY
        return catalogue.ngettext("%(count)s day ago", "%(count)s days ago", count) % {"count": count}
    return _on(moment, catalogue)


def until(moment: datetime, now: datetime, catalogue: Catalogue) -> str:
    """Returns when a moment to come is: "in 3 days", "on 2027-03-01". It promises no more time than there is."""
    left = moment - now
    if left < _MINUTE:
        return catalogue.gettext("in less than a minute")
    if left < _HOUR:
        count = left // _MINUTE
        return catalogue.ngettext("in %(count)s minute", "in %(count)s minutes", count) % {"count": count}
    if left < _DAY:
        count = left // _HOUR
        return catalogue.ngettext("in %(count)s hour", "in %(count)s hours", count) % {"count": count}
    if left < (MAX_DAYS + 1) * _DAY:
        count = left // _DAY
        return catalogue.ngettext("in %(count)s day", "in %(count)s days", count) % {"count": count}
    return _on(moment, catalogue)


def absolute(moment: datetime) -> str:
    """Returns a moment to the minute, as all countries read it: "2026-11-28 13:25 UTC"."""
    iso = moment.astimezone(UTC).isoformat(timespec="minutes")  # strftime() takes twice as long
    return f"{iso[:10]} {iso[11:16]} UTC"


def machine(moment: datetime) -> str:
    """Returns a moment to the second for the ``datetime`` attribute of ``<time>``: "2026-11-28T13:25:00Z"."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def _on(moment: datetime, catalogue: Catalogue) -> str:
    date = catalogue.isolated(moment.astimezone(UTC).strftime("%Y-%m-%d"))
    return catalogue.gettext("on %(date)s") % {"date": date}
