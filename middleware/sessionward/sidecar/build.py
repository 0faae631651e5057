"""Puts a sidecar together from its configuration: one set of parts for each worker."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from time import time
from typing import Any

from starlette.types import ASGIApp

from sessionward.asgi import ASGIMiddleware
from sessionward.assertion import Signer
from sessionward.credential import Credential, new_token
from sessionward.drive import async_driver
from sessionward.errors import ConfigurationError
from sessionward.identity import Traits
from sessionward.session import Find, Session
from sessionward.sidecar.admin import Check, Readiness, admin
from sessionward.sidecar.authz import Authorization, Checks
from sessionward.sidecar.config import Config, by_our_names
from sessionward.sidecar.fields import RequestFields
from sessionward.sidecar.observed import AccessLog, Counts, Observed
from sessionward.sidecar.peers import Believing, Peers
from sessionward.sidecar.proxy import Proxy
from sessionward.sidecar.straight import Straight
from sessionward.sidecar.upstream import Place, Pool
from sessionward.step import Flow
from sessionward.visit import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a worker serves. ``admin``: on the admin address. ``straight``: the way past ``app``, if there is one."""

    app: ASGIApp
    readiness: Readiness
    admin: ASGIApp | None
    straight: Straight | None
    reopen: Callable[[], None]


def check(config: Config) -> None:
    """Make all parts and throw them away. Raises :class:`ConfigurationError` for what cannot be made."""
    build(config, Counts())


def build(config: Config, counts: Counts) -> Built:
    """The parts of one worker. Raises :class:`ConfigurationError`."""
    backend, identifier = config.make_backend(), config.make_identifier()
    settings: dict[str, Any] = dict(config.settings)
    if identifier is not None:
        settings["identify"] = identifier
    signer = Signer(config.assertion_secrets, settings.get("audience", "")) if config.assertion_secrets else None
    pool = None if config.upstream is None else Pool(_place(config), connect_timeout=config.connect_timeout)
    inner: Proxy | Authorization
    if pool is None:
        inner = Authorization(signer=signer, clock=time)
    else:
        inner = Proxy(
            pool,
            RequestFields([] if identifier is None else [carrier.name for carrier in Traits.of(identifier).headers]),
            signer=signer,
            clock=time,
            response_timeout=config.response_timeout,
            failed=counts.upstream_failed,
        )
    try:
        door = ASGIMiddleware(inner, backend, **settings)
    except ConfigurationError as error:
        raise ConfigurationError(*map(by_our_names, error.mistakes)) from None
    return _around(config, counts, inner, door, pool, backend)


def _around(config: Config, counts: Counts, inner: Proxy | Authorization, door: ASGIMiddleware, pool: Pool | None, backend: Any) -> Built:
    """What stands around the door: whom to believe, what to count."""
    peers = Peers(config.trusted_proxy)
    if config.listen.path and config.command == "authz":
        peers = Peers((*config.trusted_proxy, "unix"))  # whoever may open the socket
    believing = Believing(Checks(door, peers.__contains__) if isinstance(inner, Authorization) else door, peers)
    access = None if config.access_log is None else _opened(config.access_log)
    observed = Observed(believing, counts, access) if access is not None or config.admin is not None else None
    straight = Straight(door, inner, believing, None if observed is None else observed.straight) if isinstance(inner, Proxy) else None
    checks: dict[str, Check] = {"backend": partial(_answers, Policy(backend, config.settings), backend)}
    if pool is not None:
        checks["upstream"] = pool.reachable
    readiness = Readiness(checks)
    return Built(
        app=observed or believing,
        readiness=readiness,
        admin=None if config.admin is None else admin(readiness, counts, lambda: 0 if pool is None else len(pool)),
        straight=straight,
        reopen=_nothing if access is None else access.reopen,
    )


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


async def _answers(policy: Policy, backend: Any) -> None:
    """Ask the backend something that costs next to nothing. Raises what it raises."""
    abilities = policy.abilities
    driver = async_driver(backend, policy.settings.deadline, is_async=abilities.is_async, blocks=abilities.blocks)
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
        await _answers(Policy(backend, config.settings), backend)
    finally:
        close = getattr(backend, "close", None)
        closed = close() if callable(close) else None
        if isawaitable(closed):
            await closed
