"""Puts a sidecar together from its configuration: one set of parts for each worker."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import isawaitable
from time import time
from typing import Any

from starlette.types import ASGIApp

from sessionward.asgi import ASGIMiddleware, door_of
from sessionward.credential.token import Credential, new_token
from sessionward.door import context_of
from sessionward.drive import AsyncDriver
from sessionward.errors import ConfigurationError
from sessionward.flow import current
from sessionward.handle import AsyncSessions
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.session.assertion import Signer
from sessionward.session.session import Session
from sessionward.session.step import Flow
from sessionward.session.steps import Find
from sessionward.sidecar.access import AccessLog
from sessionward.sidecar.admin import Readiness, admin
from sessionward.sidecar.authz import Checks, Rules, nothing_here
from sessionward.sidecar.config.config import Config, by_our_names
from sessionward.sidecar.counts import Counts
from sessionward.sidecar.fields import RequestFields
from sessionward.sidecar.observed import Observed
from sessionward.sidecar.peers import UNIX, Believing, Peers
from sessionward.sidecar.pool import Place, Pool
from sessionward.sidecar.proxy import Proxy
from sessionward.sidecar.straight import Straight, StraightChecks


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a worker serves. ``admin``: on the admin address. ``straight``: the way past ``app``, if there is one."""

    app: ASGIApp
    readiness: Readiness
    admin: ASGIApp | None
    straight: Straight | StraightChecks | None
    reopen: Callable[[], None]
    unreadable: Callable[[tuple[str, int] | None, int], None] | None


def check(config: Config) -> None:
    """Make all parts and throw them away. Raises :class:`ConfigurationError` with the mistakes of each part."""
    mistakes: list[str] = []
    parts: list[Callable[[], Any]] = [config.make_backend, config.make_identifier]
    if config.upstream is not None:
        parts.append(partial(_place, config))
    if config.access_log is not None:
        parts.append(lambda: _opened(config.access_log or "").close())
    for make in parts:
        try:
            made = make()
        except ConfigurationError as error:
            mistakes += error.mistakes
        else:
            if config.workers > 1 and getattr(made, "blocking", None) is False and make == config.make_backend:
                mistakes.append("workers: this backend is in the memory of one process, so there can be one worker only")
    if mistakes:
        raise ConfigurationError(*mistakes)
    build(replace(config, access_log=None), Counts())


def build(config: Config, counts: Counts) -> Built:
    """The parts of one worker. Raises :class:`ConfigurationError`."""
    backend, identifier = config.make_backend(), config.make_identifier()
    settings: dict[str, Any] = dict(config.settings)
    if identifier is not None:
        settings["identify"] = identifier
    signer = Signer(config.assertion_secrets, settings.get("audience", "")) if config.assertion_secrets else None
    peers = Peers(config.trusted_proxy)
    if config.upstream is None:
        return _authorization(config, counts, backend, settings, signer, peers)
    pool = Pool(_place(config), connect_timeout=config.connect_timeout)
    mode = _mode(backend, settings)
    driver = door_of(mode, backend).driver
    proxy = Proxy(
        pool,
        RequestFields(sorted(mode.names - {b"cookie"})),
        signer=signer,
        clock=time,
        response_timeout=config.response_timeout,
        failed=counts.upstream_failed,
        who=partial(_caller, mode, driver),
    )
    door = ASGIMiddleware(proxy, backend, **settings)
    believing = Believing(door, peers)
    observed = _observed(config, counts, believing)
    seen, busy = (None, None) if observed is None else (observed.straight, observed.busy)
    straight = None if mode.asks_late else Straight(door, proxy, believing, seen, busy)
    readiness = Readiness({"backend": partial(_answers, driver), "upstream": pool.reachable})
    return Built(
        app=observed or believing,
        readiness=readiness,
        admin=None if config.admin is None else admin(readiness, counts, lambda: len(pool)),
        straight=straight,
        reopen=_nothing if observed is None else observed.reopen,
        unreadable=None if observed is None else observed.unreadable,
    )


def _authorization(config: Config, counts: Counts, backend: Any, settings: dict[str, Any], signer: Signer | None, peers: Peers) -> Built:
    if config.listen.path:
        peers = Peers((*config.trusted_proxy, UNIX))  # whoever may open the socket
    mode = _mode(backend, settings)
    driver = door_of(mode, backend).driver
    rules = Rules(mode, peers, signer=signer, clock=time)
    believing = Believing(Checks(ASGIMiddleware(nothing_here, backend, **settings), rules, driver), peers)
    observed = _observed(config, counts, believing)
    waits = mode.is_async or mode.blocks
    seen = None if observed is None else observed.check
    readiness = Readiness({"backend": partial(_answers, driver)})
    return Built(
        app=observed or believing,
        readiness=readiness,
        admin=None if config.admin is None else admin(readiness, counts, int),
        straight=None if waits else StraightChecks(rules, backend, believing, seen),
        reopen=_nothing if observed is None else observed.reopen,
        unreadable=None if observed is None else observed.unreadable,
    )


def _observed(config: Config, counts: Counts, app: ASGIApp) -> Observed | None:
    """Who counts and notes, if anybody wants to know."""
    access = None if config.access_log is None else _opened(config.access_log)
    return None if access is None and config.admin is None else Observed(app, counts, access)


def _mode(backend: Any, settings: dict[str, Any]) -> Mode[Any]:
    try:
        return choose(backend, settings)
    except ConfigurationError as error:
        raise ConfigurationError(*map(by_our_names, error.mistakes)) from None


async def _caller(mode: Mode[Any], driver: AsyncDriver, sessions: AsyncSessions) -> Session | None:
    return await driver(current(mode, context_of(sessions)))


def _nothing() -> None:
    pass


def _opened(path: str) -> AccessLog:
    try:
        return AccessLog(path)
    except OSError as error:
        raise ConfigurationError(f"access-log: {path} cannot be written: {error.strerror}") from None


def _place(config: Config) -> Place:
    upstream = config.upstream
    assert upstream is not None
    tls = None
    if upstream.tls:
        try:
            tls = ssl.create_default_context(cafile=config.upstream_ca_file)
            if config.upstream_cert_file is not None:
                tls.load_cert_chain(config.upstream_cert_file, config.upstream_key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"upstream: its TLS files cannot be used: {error.strerror or error}") from None
    return Place(host=upstream.host, port=upstream.port, path=upstream.path, tls=tls, server_name=config.upstream_server_name)


async def _answers(driver: AsyncDriver) -> None:
    """Asks the backend something that costs next to nothing. Raises what it raises."""
    await driver(_find_nobody())


def _find_nobody() -> Flow[Session | None]:
    return (yield from Find(Credential(new_token().encode())))


async def prepare(config: Config) -> None:
    """Before the workers start: create what is missing, and see that the backend answers. Raises what it raises."""
    backend = config.make_backend()
    try:
        create = getattr(backend, "create_tables", None)
        if config.create_tables and callable(create):
            created = create()
            if isawaitable(created):
                await created
        await _answers(door_of(choose(backend, config.settings), backend).driver)
    finally:
        if config.backend_is_made:  # another's is another's to close
            close = getattr(backend, "close", None)
            closed = close() if callable(close) else None
            if isawaitable(closed):
                await closed
