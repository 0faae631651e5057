"""What the doctor says of the backend and of the identifier: whether they answer, how fast, and what they lack."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from secrets import token_hex
from time import monotonic
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sessionward.credential.token import Credential, new_token
from sessionward.errors import ConfigurationError, InvalidCredential, SessionwardError
from sessionward.session.capabilities import Capabilities
from sessionward.session.identifier import IdentifierSpec
from sessionward.sidecar import tables
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.config.redis_url import is_redis, redis_backend
from sessionward.sidecar.doctor.finding import Finding, error, note, ok, warning

SLOW: Final = 0.05
"""Seconds. Each request with a session waits so long before the application sees it."""
_DURABLE: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "postgresql": (
        "SELECT current_setting('fsync') || ',' || current_setting('synchronous_commit')",
        frozenset({"on,on", "on,remote_apply"}),
    ),
    "mysql": (
        "SELECT CONCAT(@@innodb_flush_log_at_trx_commit, ',', @@log_bin, ',', @@sync_binlog)",
        frozenset({"1,0,0", "1,0,1", "1,1,1"}),
    ),
}
"""A query for what a database does at a commit, and the answers with which a revocation survives a crash."""
_STANDBYS: Final = (
    "SELECT (SELECT COUNT(*) FROM pg_stat_replication), current_setting('synchronous_standby_names') <> ''"
    " AND current_setting('synchronous_commit') NOT IN ('off', 'local')"
)
"""How many standbys PostgreSQL has at this moment, and whether a commit waits for one of them."""


def of_backend(config: Config) -> Iterator[Finding]:
    """Yields what a look-up of an unknown session shows, and whether the database keeps what it has committed."""
    try:
        backend = config.make_backend()
        capabilities = Capabilities.of(backend)
    except ConfigurationError as wrong:
        yield from (error(*_parted("backend", mistake)) for mistake in wrong.mistakes)
        return
    url = _url_of(config.backend)
    if url is not None and url.get_backend_name() == "sqlite" and not os.path.exists(file := url.database or ""):
        if os.access(os.path.dirname(os.path.abspath(file)), os.W_OK):
            yield note("backend", f"{file} does not exist yet", "serve creates it, unless create-tables is off")
        else:
            yield error("backend", f"{file} does not exist and its folder is not writable", "create the folder for the user that serves")
        yield from _sign_in(config, capabilities)
        return
    answers = False
    try:
        took, lease = asyncio.run(_look_up_async(config, backend)) if capabilities.is_async else _look_up(config, backend)
    except Exception as failed:
        answers = tables.are_missing(failed)
        yield from _why(config, failed)
    else:
        answers = True
        said = f"answers in {took * 1000:.1f} ms"
        if took > SLOW:
            yield warning("backend", f"{said}, and each request with a session waits for it", "move the database nearer")
        else:
            yield ok("backend", said)
        yield from _lease(config, capabilities, lease)
    if config.backend == "memory":
        yield note("backend", "memory ends with the process, and with it all sessions", "take a database where users shall stay signed in")
    yield from _sign_in(config, capabilities)
    if answers and is_redis(config.backend):
        yield from asyncio.run(_durable_redis(config))
    elif answers and url is not None:
        yield from asyncio.run(_durable(url))


def _look_up(config: Config, backend: Any) -> tuple[float, float | None]:
    """Returns the seconds of the second look-up, since the first one connects, and the lease, None if the backend keeps none."""
    try:
        backend.find(_unknown())
        began = monotonic()
        backend.find(_unknown())
        return monotonic() - began, backend.lease_wait() if hasattr(backend, "lease_wait") else None
    finally:
        if config.backend_is_made and callable(close := getattr(backend, "close", None)):
            close()


async def _look_up_async(config: Config, backend: Any) -> tuple[float, float | None]:
    try:
        await backend.find(_unknown())
        began = monotonic()
        await backend.find(_unknown())
        return monotonic() - began, await backend.lease_wait() if hasattr(backend, "lease_wait") else None
    finally:
        close: Any = getattr(backend, "close", None)
        if config.backend_is_made and close is not None:
            await close()


def _lease(config: Config, capabilities: Capabilities, kept: float | None) -> Iterator[Finding]:
    """Yields how the lease of the configuration and that of the backend differ. ``kept``: the longest one of the last hour."""
    wanted: float = config.settings.get("lease", 0.0)
    if kept is None:
        if wanted and capabilities.blocks:
            yield error("lease", f"{capabilities.backend} keeps no lease, so every request asks it", "leave lease out")
        elif wanted:
            yield note("lease", f"{capabilities.backend} is asked by every request, since it never waits", "leave lease out")
    elif kept < wanted:
        yield note("lease", f"the backend keeps {kept:g} s; the first request raises it to {wanted:g} s")
    elif kept > wanted:
        yield note(
            "lease",
            f"a revocation takes {kept:g} s: another worker has this lease, or had it within the last hour",
            "sessionward lease shows and lowers it",
        )
    elif wanted:
        yield ok("lease", f"{wanted:g} s, as in the backend: a revocation takes as long")


def _unknown() -> Credential:
    return Credential(new_token().encode())


def _why(config: Config, failed: BaseException) -> Iterator[Finding]:
    if tables.are_missing(failed):
        said = f"answers, and {tables.MISSING}"
        yield (
            note("backend", said, "serve creates them at its start, if this user may")
            if config.create_tables
            else error("backend", said, tables.WAY_OUT)
        )
    elif isinstance(failed, ConfigurationError):  # it answers, and is not what the settings say
        yield from (error(*_parted("backend", mistake)) for mistake in failed.mistakes)
    else:
        reasons: list[str] = []
        cause: BaseException | None = failed
        while cause is not None:
            reasons.append(" ".join(str(getattr(cause, "orig", None) or cause).split()))
            cause = cause.__cause__ or cause.__context__
        said = next((reason for reason in reversed(reasons) if reason), type(failed).__name__)
        yield error(
            "backend", f"does not answer: {said}", "see that the database runs, and that user, password, host and database are right"
        )


def _sign_in(config: Config, capabilities: Capabilities) -> Iterator[Finding]:
    """Yields how users get a session: the application announces it, or an identifier reads it. Else its own rows are the sessions."""
    if config.identify is not None:
        yield ok("sign-in", f"a browser whose login {config.identify} reads gets a companion session")
    elif config.login_path:
        yield ok("sign-in", f"the application can sign users in on {', '.join(config.login_path)}, and nowhere else")
    elif capabilities.supports_login:
        yield warning(
            "sign-in",
            "no login-path is set, so no answer of the application can sign a user in",
            "set login-path to the paths that answer with Session-Login, or identify to what reads the application's own login",
        )


def _url_of(backend: str) -> URL | None:
    try:
        return make_url(backend)
    except (ArgumentError, ValueError):
        return None


async def _durable_redis(config: Config) -> list[Finding]:
    """Asks once as strictly as the backend can: then it names each setting that breaks a promise."""
    backend = redis_backend("backend", config.backend, is_async=True, strict=True)
    try:
        await backend.find(_unknown())
    except ConfigurationError as wrong:
        return [warning("durability", *_parted("backend", mistake)[1:]) for mistake in wrong.mistakes]
    except SessionwardError:  # which the look-up has shown
        return []
    finally:
        await backend.close()
    return [ok("durability", "Redis keeps what it has confirmed, as far as it lets us read its settings")]


async def _durable(url: URL) -> list[Finding]:
    name = url.drivername.partition("+")[0]
    question = _DURABLE.get({"mariadb": "mysql", "postgres": "postgresql"}.get(name, name))
    if question is None:
        return []
    # Leaves, as in the configuration, and an extra of SQLAlchemy.
    database_of = getattr(import_module("sessionward.backends.sql.connect"), "database_of")  # noqa: B009
    split_options = getattr(import_module("sessionward.backends.sql.options"), "split_options")  # noqa: B009
    create_async_engine = getattr(import_module("sqlalchemy.ext.asyncio"), "create_async_engine")  # noqa: B009
    engine = create_async_engine(database_of(split_options(url)[0], is_async=True).url)
    standbys: tuple[int, bool] = (0, True)
    try:
        async with engine.connect() as connection:
            answer = str((await connection.execute(text(question[0]))).scalar()).lower()
            if question is _DURABLE["postgresql"]:
                standbys = (await connection.execute(text(_STANDBYS))).one()
    except Exception as failed:
        return [note("durability", f"the database does not say what it does at a commit: {type(failed).__name__}")]
    finally:
        await engine.dispose()
    return [_at_a_crash(answer, question[1]), *_at_a_failover(*standbys)]


def _at_a_failover(standbys: int, waits: bool) -> Iterator[Finding]:
    if standbys and waits:
        yield ok("failover", "a commit waits for a standby, so a revocation survives the loss of the primary if that one is promoted")
    elif standbys:
        yield warning(
            "failover",
            f"{standbys} standbys follow later: one that lags and is promoted has lost revocations",
            "set synchronous_standby_names, or run sessionward restored after each failover; until then such a server is refused",
        )


def _at_a_crash(answer: str, durable: frozenset[str]) -> Finding:
    if answer in durable:
        return ok("durability", f"a revocation survives a crash of the database ({answer})")
    return warning(
        "durability",
        f"a revocation may be lost when the database crashes ({answer})",
        "set fsync and synchronous_commit to on, or innodb_flush_log_at_trx_commit and sync_binlog to 1",
    )


def of_identifier(config: Config) -> Iterator[Finding]:
    """Yields what the identifier makes of a login that no application has made."""
    if config.identify is None:
        return
    try:
        spec = IdentifierSpec.of(config.make_identifier())
    except ConfigurationError as wrong:
        yield from (error(*_parted("identify", mistake)) for mistake in wrong.mistakes)
        return
    names = [name.decode() for name in (*spec.cookies, *(carrier.name for carrier in spec.headers))]
    began = monotonic()
    try:
        answer = spec.identifier.identify(names[0].replace("*", "0"), token_hex(16))
        if spec.is_async:
            asyncio.run(answer)
    except InvalidCredential:
        pass
    except Exception as failed:
        said = " ".join(str(getattr(failed, "orig", None) or failed).split())
        yield error("identify", f"{config.identify} cannot read a login: {said}", "each request with a login is 503 until it can")
        return
    took = (monotonic() - began) * 1000
    yield ok("identify", f"{config.identify} reads {', '.join(names)}, and does not believe a login that was made up ({took:.1f} ms)")


def _parted(part: str, mistake: str) -> tuple[str, str]:
    name, colon, rest = mistake.partition(": ")
    return (name, rest) if colon else (part, mistake)
