"""Puts a sidecar together from its configuration: one set of parts for each worker."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import isawaitable
from time import time
from typing import Any

from sessionward.credential.token import Credential, new_token
from sessionward.errors import ConfigurationError
from sessionward.session.assertion import Signer
from sessionward.session.session import Session
from sessionward.session.step import Flow, Step
from sessionward.session.steps import Find
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.authz.service import Checks
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.client.connection import Service
from sessionward.sidecar.client.limits import Limits
from sessionward.sidecar.client.local import LocalService
from sessionward.sidecar.client.trusted_proxies import UNIX, TrustedProxies
from sessionward.sidecar.config.addresses import Upstream
from sessionward.sidecar.config.config import Config, by_our_names
from sessionward.sidecar.descriptors import connections_by_default
from sessionward.sidecar.gate import Gate
from sessionward.sidecar.in_force import in_force
from sessionward.sidecar.observe.access_log import AccessLog
from sessionward.sidecar.observe.admin import Admin
from sessionward.sidecar.observe.counts import Counts
from sessionward.sidecar.observe.observer import Observer
from sessionward.sidecar.observe.readiness import Check, Readiness
from sessionward.sidecar.proxy import Proxy
from sessionward.sidecar.upstream.headers import RequestFields
from sessionward.sidecar.upstream.pool import Place, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker serves with. A reload makes new ones; the backend and the observer stay.

    ``service``: on the public address. ``admin``: on the admin address, None if there is none.
    """

    service: Service
    admin: Service | None
    trusted: TrustedProxies
    proxied: TrustedProxies
    limits: Limits
    observer: Observer
    readiness: Readiness
    backend: Any
    gate: Gate
    pool: Pool | None

    def retire(self) -> None:
        """Ends the idle connections to the upstream, after a reload has replaced these parts."""
        if self.pool is not None:
            self.pool.close()

    async def close(self) -> None:
        """Waits for the flows that have begun, then closes all parts. For the end of the process."""
        self.retire()
        await self.gate.finished()
        if self.gate.seen is not None:
            await self.gate.seen.flush()
        self.observer.close()
        await _closed(self.backend)


def check(config: Config) -> str:
    """Makes all parts and discards them. Returns the limits in force, as a line for a person.

    Raises :class:`ConfigurationError` with the mistakes of each part.
    """
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
    mode = build(replace(config, access_log=None), Counts()).gate.mode
    return in_force(config, mode.settings, starts_sessions=mode.can_set_cookies)


def build(config: Config, counts: Counts, before: Parts | None = None) -> Parts:
    """Returns the parts of one worker. ``before``: the parts that they replace. Raises :class:`ConfigurationError`."""
    backend = config.make_backend() if before is None else before.backend
    identifier = config.make_identifier()
    settings: dict[str, Any] = dict(config.settings)
    if identifier is not None:
        settings["identify"] = identifier
    signer = Signer(config.assertion_secrets, settings.get("audience", "")) if config.assertion_secrets else None
    observer = _observer(config, counts) if before is None else before.observer
    authz = AuthzSettings.of(
        preflight=config.preflight,
        exempt_paths=settings.pop("exempt_paths", ()) if config.upstream is None else (),
        login_url=config.login_url,
    )
    try:
        gate = Gate(backend, settings, passes_cookie=config.pass_cookie, login_refused=observer.login_refused)
    except ConfigurationError as error:
        raise ConfigurationError(*map(by_our_names, error.mistakes)) from None
    if before is not None:
        gate.continues(before.gate)
    checks: dict[str, Check] = {"backend": partial(_answers, gate)}
    pool = None
    trusted = config.trusted_proxy
    service: Service
    if config.upstream is None:
        if config.listen.path:  # the mode of its file has decided who may connect
            trusted = (*trusted, UNIX)
        service = Checks(gate, Rules(gate.mode, authz, signer=signer, clock=time, seen=gate.seen))
    else:
        place = _place(config)
        pool = Pool(place, connect_timeout=config.connect_timeout, keeps=config.upstream_keepalive, idle=config.upstream_idle_timeout)
        checks["upstream"] = pool.reachable
        service = Proxy(
            gate,
            pool,
            RequestFields(sorted(gate.mode.names - {b"cookie"}), _authority(config.upstream)),
            signer=signer,
            login_paths=config.login_path,
            response_timeout=config.response_timeout,
            failed=observer.upstream_failed,
            adds_id=config.access_log is not None,
        )
    readiness = Readiness({name: checks[name] for name in config.readiness if name in checks})
    admin = None if config.admin is None else LocalService(Admin(readiness, counts, lambda: 0 if pool is None else len(pool)).answer)
    return Parts(
        service=service,
        admin=admin,
        trusted=TrustedProxies(trusted),
        proxied=TrustedProxies(config.proxy_protocol, "proxy-protocol"),
        limits=_limits(config),
        observer=observer,
        readiness=readiness,
        backend=backend,
        gate=gate,
        pool=pool,
    )


def _limits(config: Config) -> Limits:
    return Limits(
        max_connections=config.max_connections or connections_by_default(has_upstream=config.upstream is not None),
        max_connections_per_address=config.max_connections_per_address,
        idle_timeout=config.idle_timeout,
        head_timeout=config.head_timeout,
        tunnel_idle_timeout=config.tunnel_idle_timeout,
        response_timeout=config.response_timeout,
    )


def _observer(config: Config, counts: Counts) -> Observer:
    return Observer(counts, None if config.access_log is None else _opened(config.access_log))


def _authority(upstream: Upstream) -> bytes:
    """Returns the Host for a request that has none."""
    return b"localhost" if upstream.path else str(upstream).partition("//")[2].encode()


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


async def _answers(gate: Gate) -> None:
    """Asks the backend a question that costs little. Raises what it raises."""
    await gate.drive(_find_no_session())


def _find_no_session() -> Flow[Session | None]:
    return (yield from Find(Credential(new_token().encode())))


class _Try(Step[Exception | None]):
    """Does what :func:`_answers` does. It answers with the failure, for a caller that reports it: the log gets no second line."""

    writes = False

    def ask(self, backend: Any) -> Any:
        try:
            found = backend.find(Credential(new_token().encode()))
        except Exception as failure:
            return failure
        return _failure(found) if isawaitable(found) else None


async def _failure(found: Awaitable[object]) -> Exception | None:
    try:
        await found
    except Exception as failure:
        return failure
    return None


def _trying() -> Flow[Exception | None]:
    return (yield from _Try())


async def prepare(config: Config) -> None:
    """Creates the tables that are missing, and checks that the backend answers, before the workers start. Raises what it raises."""
    backend = config.make_backend()
    try:
        create = getattr(backend, "create_tables", None)
        if config.create_tables and callable(create):
            created = create()
            if isawaitable(created):
                await created
        failure = await Gate(backend, dict(config.settings)).drive(_trying())
        if failure is not None:
            raise failure
    finally:
        if config.backend_is_made:  # another's is another's to close
            await _closed(backend)


async def _closed(backend: Any) -> None:
    close = getattr(backend, "close", None)
    closed = close() if callable(close) else None
    if isawaitable(closed):
        await closed
