"""Opens the database of a command, and says what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from sessionward.errors import ConfigurationError, SessionwardError, UsageError

if TYPE_CHECKING:
    from sessionward.backends.redis import RedisBackend
    from sessionward.backends.sql import SQLBackend


def over(database: str, act: Callable[[SQLBackend | RedisBackend], int]) -> int:
    """Returns the exit code of ``act``, or 2 for a wrong argument, or 1 if the database does not answer. Creates no database."""
    if "://" not in database:
        return refuse("--backend: this command is for SQL databases and Redis only, not for memory or django; give a URL", code=2)
    try:
        backend = _opened(database)
        try:
            return act(backend)
        finally:
            backend.close()
    except ConfigurationError as error:
        return refuse("\nsessionward: ".join(error.mistakes), code=2)
    except UsageError as error:
        return refuse(str(error), code=2)
    except SessionwardError as error:
        return refuse(str(error), code=1)


def _opened(database: str) -> SQLBackend | RedisBackend:
    """Returns the backend. It connects to nothing, and the other commands start without the modules that it imports."""
    from sessionward.sidecar.config.redis_url import is_redis, redis_backend

    if is_redis(database):
        return cast("RedisBackend", redis_backend("--backend", database, is_async=False, pool_size=1, timeout=10.0))
    from sessionward.backends.sql import SQLBackend
    from sessionward.backends.sql.files import missing_file

    backend = SQLBackend(database, pool_size=1, timeout=10.0)
    missing = missing_file(database)
    if missing is not None:
        raise ConfigurationError(f"--backend: there is no file {missing!r}")
    return backend


@contextmanager
def told_if_stopped() -> Generator[None]:
    """Says what may have been done already, if the operator stops a command that revokes, while it waits."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        refuse("stopped. The sessions may be revoked, and workers may accept them for some seconds: run the command again", code=1)
        raise


def refuse(why: str, *, code: int) -> int:
    """Says why a command fails. Returns the exit code."""
    print(f"sessionward: {why}", file=sys.stderr)
    return code
