"""The configuration of a sidecar: read from three places, checked once, then frozen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from secrets import token_urlsafe
from typing import Any, Final

from sessionward.api.page.optional import check_page
from sessionward.errors import ConfigurationError, Mistakes
from sessionward.settings import MAKE_SECRET, Settings
from sessionward.sidecar.config import backend, identify
from sessionward.sidecar.config.addresses import Address, Upstream
from sessionward.sidecar.config.checks import READINESS, mistakes_of, upstream_mistakes
from sessionward.sidecar.config.options import BY_NAME, OPTIONS, PREFIX
from sessionward.sidecar.config.page import configured_page
from sessionward.sidecar.config.sources import Given, collect


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``serve`` and ``authz`` run with. It is pickled for the workers, so it holds only values.

    - ``settings``: the keyword settings of :class:`sessionward.ASGIMiddleware`, apart from ``identify``.
    - ``max_connections``: None means as many as the descriptors allow, at most 10 000.
    - ``told``: what the person who starts this should know.
    - ``flags``, ``environment``: what :func:`configure` was called with, so that :meth:`reread` can read all of it again.

    Durations are seconds.
    """

    command: str
    listen: Address
    backend: str = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    admin: Address | None = None
    upstream: Upstream | None = None
    upstream_ca_file: str | None = None
    upstream_cert_file: str | None = None
    upstream_key_file: str | None = None
    upstream_server_name: str | None = None
    identify: str | None = None
    identify_options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    login_path: tuple[str, ...] = ()
    pass_cookie: bool = False
    trusted_proxy: tuple[str, ...] = ()
    proxy_protocol: tuple[str, ...] = ()
    assertion_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    preflight: str = "check"
    login_url: str | None = None
    access_log: str | None = None
    workers: int = 1
    drain_delay: float = 1.0
    drain_timeout: float = 30.0
    create_tables: bool = True
    readiness: tuple[str, ...] = ("backend",)
    connect_timeout: float = 5.0
    response_timeout: float = 60.0
    upstream_keepalive: bool = True
    upstream_idle_timeout: float = 1.5
    max_connections: int | None = None
    max_connections_per_address: int = 1000
    idle_timeout: float = 75.0
    head_timeout: float = 10.0
    tunnel_idle_timeout: float = 3600.0
    told: tuple[str, ...] = ()
    flags: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def backend_is_made(self) -> bool:
        """Whether each :meth:`make_backend` makes a new one; else ``package.module:object`` names one that exists already."""
        return backend.is_made(self.backend)

    def make_backend(self) -> Any:
        """Returns the backend that was named, for an application in another process. Raises :class:`ConfigurationError`."""
        return backend.make_backend(self.backend, self.settings.get("backend_timeout", 2.0))

    def make_identifier(self) -> Any:
        """Returns the identifier that was named, None if there is none. Raises :class:`ConfigurationError`."""
        return identify.make_identifier(self.identify, self.identify_options)

    def reread(self) -> Config:
        """Returns the configuration that the same flags, variables and files give now.

        What only a start can change keeps its value, and ``told`` names it: the addresses, the processes, the backend. A secret
        that was made at the start stays. Raises :class:`ConfigurationError`, and then this configuration is still good.
        """
        given, mistakes = collect(self.flags, self.environment, self.command)
        now = made_of(self.command, given, mistakes, kept_secrets=tuple(self.settings.get("secrets", ())))
        changed = [name for name in _ONLY_AT_START if getattr(now, name) != getattr(self, name)]
        told = [f"{name.replace('_', '-')}: it has changed, and only a restart changes it; the old value stays" for name in changed]
        kept = {name: getattr(self, name) for name in changed}
        return remembered(replace(now, told=(*now.told, *told), **kept), self.flags, self.environment)


_ONLY_AT_START: Final = ("listen", "admin", "workers", "backend", "access_log")
"""Fields that :meth:`Config.reread` keeps: the sockets, the processes, what holds the sessions, and the open log."""


def configure(command: str, flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Config:
    """Returns the configuration of ``serve`` or ``authz``.

    ``flags``: by the names of options, without those that were not given. ``environment``: this process's by default.
    Raises :class:`ConfigurationError` that names every mistake.
    """
    environment = os.environ if environment is None else environment
    given, mistakes = collect(flags, environment, command)
    return remembered(made_of(command, given, mistakes), flags, environment)


def remembered(config: Config, flags: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Returns a configuration that can :meth:`Config.reread` these flags and variables."""
    return replace(config, flags=dict(flags), environment={name: value for name, value in environment.items() if name.startswith(PREFIX)})


def made_of(command: str, given: Mapping[str, Given], mistakes: list[str], *, kept_secrets: tuple[str, ...] = ()) -> Config:
    """Returns the configuration made of what :func:`collect` has found.

    ``kept_secrets``: to sign with where none is given. Raises :class:`ConfigurationError` that names every mistake.
    """
    mistakes = [*mistakes]
    value = {name: each.value for name, each in given.items()}
    listen: Address | None = _parsed(Address.parse, "listen", value, mistakes)
    admin: Address | None = _parsed(Address.parse, "admin", value, mistakes)
    upstream: Upstream | None = _parsed(Upstream.parse, "upstream", value, mistakes)
    mistakes += mistakes_of(command, value, listen, admin)
    mistakes += upstream_mistakes(value, upstream, {"listen": listen, "admin": admin})
    kind, keywords = identify.identify_options(value, mistakes)
    settings: dict[str, Any] = {option.key: value[option.name] for option in OPTIONS if option.of_door and option.name in value}
    page = configured_page(value, mistakes)
    if page is not None:
        settings["page"] = page
    if settings.get("recheck") == 0:
        settings["recheck"] = None
    told = [*identify.advice(kind, keywords)]
    if value.get("secret"):
        settings["secrets"] = tuple(value["secret"])
    elif value.get("backend") != "django" or kind is not None:
        if listen is not None and listen.is_private:
            settings["secrets"] = kept_secrets or (token_urlsafe(32),)
            told.append(f"no secret is given: cookies are signed with one that ends with this process; for --secret-file {MAKE_SECRET}")
        elif listen is not None and not any(mistake.startswith(_OF_SECRET) for mistake in mistakes):
            mistakes.append(f"secret: our cookies are signed, so one is needed; for --secret-file {MAKE_SECRET}")
    wrong = Mistakes()
    with wrong.collected():  # as the application's door will check them
        Settings.of({**settings, "assertion_secrets": list(value["assertion-secret"])})
    with wrong.collected():
        check_page(page)
    mistakes += map(by_our_names, wrong.found)
    if mistakes or listen is None:
        raise ConfigurationError(*mistakes)
    return Config(
        command=command,
        listen=listen,
        admin=admin,
        upstream=upstream,
        settings=settings,
        identify=kind,
        identify_options=keywords,
        assertion_secrets=tuple(secret.encode() for secret in value["assertion-secret"]),
        readiness=value.get("readiness", READINESS[command]),
        told=tuple(told),
        **{key: value[name] for name, key in _AS_THEY_ARE.items() if name in value},
    )


_OF_SECRET: Final = ("secret:", "secret-file:")
"""How the mistakes of a secret that was given begin. One that is wrong is not missing, too."""
_MADE_ABOVE: Final = frozenset({"listen", "admin", "upstream", "identify", "readiness"})
_AS_THEY_ARE: Final = {
    name: option.key
    for name, option in BY_NAME.items()
    if option.key in {each.name for each in fields(Config)} and name not in _MADE_ABOVE and not option.of_door
}
"""The options whose values are fields of :class:`Config` unchanged."""


def by_our_names(mistake: str) -> str:
    """Returns a door's mistake under the name that the option has here."""
    name, colon, rest = mistake.partition(":")
    return _OUR_NAMES.get(name, re.sub("[._]", "-", name)) + colon + rest


_OUR_NAMES: Final = {
    "secrets": "secret",
    "assertion_secrets": "assertion-secret",
    **{option.setting: option.name for option in OPTIONS if option.setting},
}


def _parsed(parse: Callable[[str], Any], name: str, value: Mapping[str, Any], mistakes: list[str]) -> Any:
    if name not in value:
        return None
    try:
        return parse(value[name])
    except ValueError as wrong:
        mistakes.append(f"{name}: {wrong}")
        return None
