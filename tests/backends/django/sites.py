"""The configurations of Django that the backend is shown in, and which claims are made for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

CORE: Final = "django.contrib.sessions.backends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What differs between the configurations; ``settings.py`` makes Django's settings of it."""

    claims: Sequence[str]
    """Modules of this folder whose functions ``case_...`` hold there."""
    database: Literal["sqlite", "postgresql", "mariadb"] = "sqlite"
    engine: str = f"{CORE}.db"
    cache: Literal["locmem", "redis", "django-redis"] = "locmem"
    apps: Sequence[str] = ()
    user: str = "auth.User"
    conn_max_age: int = 0
    atomic_requests: bool = False


COLUMNS: Final = "tests.backends.django.columns"
HEADLESS: Final = ("allauth", "allauth.account", "allauth.headless")
FIRM: Final = (
    "ending",
    "api",
    "renamed",
    "races",
    "outages",
    "connections",
    "tables",
    "noted",
    "missed",
    "forgotten",
    "rotated",
    "renewed",
    "many",
    "everybody",
    "restored",
)
LISTED: Final = ("ending", "api", "races", "late", "listed", "rotated", "renewed", "everybody", "emptied", "filled")
LATE: Final = ("ending", "api", "races", "late", "half", "noted", "rotated", "renewed", "everybody", "emptied", "restored")

SITES: Final[Mapping[str, Site]] = {
    "db on SQLite": Site(claims=(*FIRM, "login", "scanning", "doors", "cookies")),
    "db on PostgreSQL": Site(claims=(*FIRM, "no_right", "isolation", "silent", "together"), database="postgresql"),
    "db on MariaDB": Site(claims=(*FIRM, "isolation", "silent"), database="mariadb"),
    "db on MariaDB, with names as ids": Site(
        claims=("collations",), apps=("tests.backends.django.people",), user="people.Plain", database="mariadb"
    ),
    "db on PostgreSQL, connections kept": Site(claims=("connections",), database="postgresql", conn_max_age=600),
    "db on PostgreSQL, ATOMIC_REQUESTS": Site(claims=("ending", "api", "noted", "atomic"), database="postgresql", atomic_requests=True),
    "cached_db on SQLite": Site(
        claims=("ending", "api", "late", "half", "noted", "cached", "dangling", "forgotten", "many", "everybody", "emptied"),
        engine=f"{CORE}.cached_db",
    ),
    "cached_db on PostgreSQL and Redis": Site(
        claims=(*LATE, "cached", "first", "streamed", "filled"), database="postgresql", engine=f"{CORE}.cached_db", cache="redis"
    ),
    "cached_db on MariaDB and Redis": Site(
        claims=("races", "half", "everybody", "emptied"), database="mariadb", engine=f"{CORE}.cached_db", cache="redis"
    ),
    "cache on Redis": Site(
        claims=(
            "ending",
            "api",
            "races",
            "late",
            "seen",
            "cache_down",
            "rotated",
            "renewed",
            "forgotten",
            "everybody",
            "emptied",
            "restored",
        ),
        database="postgresql",
        engine=f"{CORE}.cache",
        cache="redis",
    ),
    "cache on django-redis": Site(
        claims=(*LISTED, "cache_down", "streamed"), database="postgresql", engine=f"{CORE}.cache", cache="django-redis"
    ),
    "file": Site(claims=(*LISTED, "files", "forgotten", "restored"), engine=f"{CORE}.file"),
    "allauth usersessions": Site(claims=("ending", "api", "allauth"), apps=("allauth", "allauth.account", "allauth.usersessions")),
    "allauth usersessions, cache on Redis": Site(
        claims=("ending", "api", "late", "allauth"),
        apps=("allauth", "allauth.account", "allauth.usersessions"),
        engine=f"{CORE}.cache",
        cache="redis",
    ),
    "allauth headless": Site(claims=("headless",), apps=HEADLESS),
    "allauth headless, cached_db": Site(
        claims=("ending", "headless", "everybody"), apps=HEADLESS, engine=f"{CORE}.cached_db", cache="redis"
    ),
    "allauth headless, cache on Redis": Site(
        claims=("ending", "late", "headless", "everybody", "emptied"), apps=HEADLESS, engine=f"{CORE}.cache", cache="redis"
    ),
    "django-user-sessions": Site(
        claims=("ending", "api", "late", "half", "upserts", "rotated", "renewed", "everybody", "emptied", "restored"),
        apps=("user_sessions",),
        engine="user_sessions.backends.db",
    ),
    "django-qsessions": Site(
        claims=("ending", "api", "renamed", "rotated", "renewed", "owned", "many", "everybody"),
        apps=("qsessions",),
        engine="qsessions.backends.db",
    ),
    "django-qsessions, cached_db on Redis": Site(
        claims=("ending", "api", "late", "half", "cached", "owned", "everybody", "emptied"),
        apps=("qsessions",),
        engine="qsessions.backends.cached_db",
        cache="redis",
    ),
    "a column of names": Site(claims=("ending", "api", "unowned"), apps=(COLUMNS,), engine=f"{COLUMNS}.named"),
    "a column of foreign ids": Site(claims=("ending", "unowned"), apps=(COLUMNS,), engine=f"{COLUMNS}.foreign"),
    "a column of another table": Site(claims=("ending", "unowned"), apps=(COLUMNS,), engine=f"{COLUMNS}.badged", database="postgresql"),
    "users with UUIDs and e-mail addresses": Site(
        claims=("ending", "api", "uuids"), apps=("tests.backends.django.people",), user="people.Person"
    ),
    "users without a session hash": Site(
        claims=("ending", "plain_users", "contract"), apps=("tests.backends.django.people",), user="people.Plain"
    ),
}
