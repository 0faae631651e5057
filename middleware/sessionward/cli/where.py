"""Says of a command on Redis which database and prefix it was about, and whether anything was there: a wrong one looks like success."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

from sessionward.cli.database import over

if TYPE_CHECKING:
    from sessionward.backends.redis import RedisBackend


def told_where(database: str, act: Callable[[], int]) -> int:
    """Returns the exit code of ``act``. After success on Redis prints where it was, and warns if nothing was there before."""
    from sessionward.sidecar.config.redis_url import is_redis, without_secrets  # only now: the other commands start without it

    if not is_redis(database):
        return act()
    found: list[bool] = []

    def look(backend: object) -> int:
        found.append(cast("RedisBackend", backend).is_unused())
        return 0

    code = over(database, look) or act()
    if code == 0:
        url = urlsplit(database)
        prefix = parse_qs(url.query).get("prefix", ["sessionward"])[-1]
        print(f"Redis: {without_secrets(url._replace(query='').geturl())}, keys that begin with {prefix}: (the prefix).")
        if found[0]:
            print(
                "sessionward: warning: there was no session, and no revocation, under this prefix before. Give the URL of the workers: its"
                " host, the number of the database, and ?prefix=… if theirs is another one. For a new or an emptied database all is well.",
                file=sys.stderr,
            )
    return code
