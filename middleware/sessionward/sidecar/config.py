"""The configuration of a sidecar: read from three places, checked once, then frozen."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from secrets import token_urlsafe
from typing import Any, Final, cast

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from sessionward.errors import ConfigurationError
from sessionward.settings import MAKE_SECRET, Settings
from sessionward.sidecar.addresses import Address, Upstream
from sessionward.sidecar.options import BY_NAME, MASK, OPTIONS, Given, collect, content_of, near, secrets
from sessionward.sidecar.peers import Peers

_BACKENDS: Final = {
    "memory": "sessionward.backends.memory:MemoryBackend",
    "django": "sessionward.backends.django:DjangoBackend",
}
_SQL: Final = "sessionward.backends.sql"

_IDENTIFIERS: Final[Mapping[str, tuple[str, str, Mapping[str, str]]]] = {
    "flask": ("sessionward.identify.flask", "FlaskLogin", {"secret": "secret_key", "user": "user_key", "cookie": "session_cookie"}),
    "starlette": ("sessionward.identify.starlette", "StarletteSession", {"secret": "secret_key", "user": "user", "cookie": "cookie"}),
    "jwt": ("sessionward.identify.jwt", "JWT", {"secret": "key", "user": "user_claim", "cookie": "cookies"}),
    "django": ("sessionward.identify.django", "SignedCookies", {}),
}
"""Which class each kind is, and what ``identify-secret``, ``-user`` and ``-cookie`` are called there."""

_INSTALLED_BY: Final = {
    "django": "django",
    "asyncpg": "'sessionward[asyncpg]'",
    "psycopg": "'sessionward[postgresql]'",
    "asyncmy": "'sessionward[mysql-async]'",
    "jwt": "'sessionward[jwt]'",
    "flask": "flask",
}
"""What ``pip install`` is told, by the name of the module that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``serve`` and ``authz`` run with. It is pickled for the workers, so it holds no objects that live.

    ``settings``: the keyword settings of :class:`sessionward.ASGIMiddleware`, apart from ``identify``. ``told``: what
    whoever starts it should know. Durations are seconds.
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
    trusted_proxy: tuple[str, ...] = ()
    assertion_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    access_log: str | None = None
    workers: int = 1
    drain_delay: float = 1.0
    drain_timeout: float = 30.0
    connect_timeout: float = 5.0
    response_timeout: float = 60.0
    create_tables: bool = True
    max_connections: int | None = None
    """None: as many as the descriptors allow, at most 10 000."""
    max_connections_per_address: int = 1000
    idle_timeout: float = 75.0
    head_timeout: float = 10.0
    tunnel_idle_timeout: float = 3600.0
    upstream_keepalive: bool = True
    upstream_idle_timeout: float = 1.5
    login_path: tuple[str, ...] = ()
    pass_cookie: bool = False
    proxy_protocol: tuple[str, ...] = ()
    readiness: tuple[str, ...] = ("backend",)
    preflight: str = "check"
    login_url: str | None = None
    told: tuple[str, ...] = ()

    @property
    def backend_is_made(self) -> bool:
        """Whether each :meth:`make_backend` makes a new one; else ``package.module:object`` names one that is there already."""
        if not _names_object(self.backend):
            return True
        module, _, name = self.backend.partition(":")
        named = getattr(sys.modules.get(module), name, None)
        return inspect.isfunction(named) or inspect.isclass(named)

    def make_backend(self) -> Any:
        """The backend that was named, told that the application runs elsewhere. Raises :class:`ConfigurationError`."""
        backend = self._made_backend()
        for_sidecar = getattr(backend, "for_sidecar", None)
        return for_sidecar() if callable(for_sidecar) else backend

    def _made_backend(self) -> Any:
        if self.backend == "django":
            _set_up_django("backend")
        if self.backend in _BACKENDS:
            return _object("backend", _BACKENDS[self.backend])
        if _names_object(self.backend):
            return _object("backend", self.backend)
        with _Explained("backend"):
            kind = getattr(import_module(_SQL), "AsyncSQLBackend")  # noqa: B009 - a leaf, which the configuration names
            return kind(self.backend, timeout=self.settings.get("backend_timeout", 2.0))

    def make_identifier(self) -> Any:
        """The identifier that was named, None if there is none. Raises :class:`ConfigurationError`."""
        if self.identify is None:
            return None
        if self.identify not in _IDENTIFIERS:
            found = _object("identify", self.identify)
            if found is None:
                raise ConfigurationError(f"identify: {self.identify} is None, and an identifier is needed")
            return found
        if self.identify == "django":
            _set_up_django("identify")
        module, name, _ = _IDENTIFIERS[self.identify]
        with _Explained("identify"):
            kind: Callable[..., Any] = getattr(import_module(module), name)
            parameters = inspect.signature(kind).parameters
            mistakes = [f"identify: {name} has no {key}{near(key, parameters)}" for key in self.identify_options if key not in parameters]
            needed = [key for key, each in parameters.items() if each.default is each.empty and key not in self.identify_options]
            mistakes += [f"identify: {name} needs {key}{_as_option(self.identify, key)}" for key in needed]
            if mistakes:
                raise ConfigurationError(*mistakes)
            return kind(**{key: tuple(value) if key == "header" else value for key, value in self.identify_options.items()})


def configure(command: str, flags: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Config:
    """The configuration of ``serve`` or ``authz``.

    ``flags``: by the names of options, without those that were not given. ``environment``: this process's by default.
    Raises :class:`ConfigurationError` that names every mistake.
    """
    given, mistakes = collect(flags, os.environ if environment is None else environment, command)
    return made_of(command, given, mistakes)


def made_of(command: str, given: Mapping[str, Given], mistakes: list[str]) -> Config:
    """The configuration made of what :func:`collect` has found. Raises :class:`ConfigurationError` that names every mistake."""
    mistakes = [*mistakes]
    value = {name: each.value for name, each in given.items()}
    listen = _parsed(Address.parse, "listen", value, mistakes)
    admin = _parsed(Address.parse, "admin", value, mistakes)
    upstream = _parsed(Upstream.parse, "upstream", value, mistakes)
    mistakes += _mistakes(command, value, listen, upstream)
    identify, identify_options = _identify(value, mistakes)
    settings: dict[str, Any] = {option.key: value[option.name] for option in OPTIONS if option.of_door and option.name in value}
    told: list[str] = []
    if value.get("secret"):
        settings["secrets"] = tuple(value["secret"])
    elif value.get("backend") != "django" or identify is not None:
        if listen is not None and listen.is_private:
            settings["secrets"] = (token_urlsafe(32),)
            told.append(f"no secret is given: cookies are signed with one that ends with this process; for --secret-file {MAKE_SECRET}")
        elif listen is not None:
            mistakes.append(f"secret: our cookies are signed, so one is needed; for --secret-file {MAKE_SECRET}")
    try:
        Settings.of({**settings, "assertion_secrets": list(value["assertion-secret"])})  # as the application's door will check them
    except ConfigurationError as error:
        mistakes += map(by_our_names, error.mistakes)
    if mistakes or listen is None:
        raise ConfigurationError(*mistakes)
    return Config(
        command=command,
        listen=listen,
        admin=admin,
        upstream=upstream,
        settings=settings,
        identify=identify,
        identify_options=identify_options,
        assertion_secrets=tuple(secret.encode() for secret in value["assertion-secret"]),
        told=tuple(told),
        readiness=value.get("readiness", ("upstream", "backend") if command == "serve" else ("backend",)),
        **{key: value[name] for name, key in _AS_THEY_ARE.items() if name in value},
    )


_AS_THEY_ARE: Final = {
    name: BY_NAME[name].key
    for name in (
        "backend", "trusted-proxy", "access-log", "workers", "drain-delay", "drain-timeout", "create-tables", "connect-timeout",
        "response-timeout", "upstream-ca-file", "upstream-cert-file", "upstream-key-file", "upstream-server-name",
        "max-connections", "max-connections-per-address", "idle-timeout", "head-timeout", "tunnel-idle-timeout", "upstream-keepalive",
        "upstream-idle-timeout", "login-path", "pass-cookie", "proxy-protocol", "preflight", "login-url",
    )
}  # fmt: skip


def by_our_names(mistake: str) -> str:
    """A door's mistake under the name that the option has here."""
    name, colon, rest = mistake.partition(":")
    return {"secrets": "secret", "assertion_secrets": "assertion-secret"}.get(name, name.replace("_", "-")) + colon + rest


def _parsed(parse: Callable[[str], Any], name: str, value: Mapping[str, Any], mistakes: list[str]) -> Any:
    if name not in value:
        return None
    try:
        return parse(value[name])
    except ValueError as wrong:
        mistakes.append(f"{name}: {wrong}")
        return None


def _mistakes(command: str, value: Mapping[str, Any], listen: Address | None, upstream: Upstream | None) -> Iterator[str]:
    for name in ("backend", *(("upstream",) if command == "serve" else ())):
        if name not in value:
            yield f"{name}: it is needed: {BY_NAME[name].help}"
    yield from _backend_mistakes(value)
    yield from _login_path_mistakes(value.get("login-path", ()))
    yield from _way_mistakes(command, value)
    try:
        peers = Peers(value["trusted-proxy"])
    except ConfigurationError as error:
        yield from error.mistakes
    else:
        if command == "authz" and ("identify" in value or "identify-table" in value):
            yield "identify: authz cannot give a browser its companion cookie, since proxies drop the Set-Cookie of a check; take serve"
        if command == "authz" and listen is not None and not listen.path and not peers:
            yield "trusted-proxy: authz answers only peers that are trusted, or on a unix socket; name the proxy's address"
    if value.get("upstream-key-file") and not value.get("upstream-cert-file"):
        yield "upstream-key-file: it is the key of upstream-cert-file, which is missing"
    for name in ("upstream-ca-file", "upstream-cert-file", "upstream-key-file"):
        if name in value and not os.access(value[name], os.R_OK):
            yield f"{name}: {value[name]} cannot be read"
        elif name in value and upstream is not None and not upstream.tls:
            yield f"{name}: the upstream is not https, so nothing would be verified"
    if upstream is not None and listen is not None and str(upstream).partition("//")[2] == str(listen):
        yield "upstream: it is the address that is listened on, so requests would come back"


_NOT_IN_PATH: Final = re.compile(r"[^\x21-\x7e]|[?#%;\\]|//|/\.{1,2}(/|$)")


def _login_path_mistakes(paths: tuple[str, ...]) -> Iterator[str]:
    """A login path is compared with the raw path, so a spelling that an application may read otherwise is refused."""
    for path in paths:
        if not path.startswith("/") or _NOT_IN_PATH.search(path):
            yield f"login-path: {path!r} is not a plain path such as /login or /oauth/: no ?, #, %, ;, \\, // or dot segments"
        elif path == "/":
            yield "login-path: / is a prefix of every path, so any answer of the application could sign a user in; name its sign-in pages"


def _way_mistakes(command: str, value: Mapping[str, Any]) -> Iterator[str]:
    try:
        Peers(value["proxy-protocol"])
    except ConfigurationError as error:
        yield from (f"proxy-protocol:{mistake.partition(':')[2]}" for mistake in error.mistakes)
    known = ("upstream", "backend") if command == "serve" else ("backend",)
    for word in value.get("readiness", ()):
        if word not in known:
            yield f"readiness: {word!r} is not one of {', '.join(known)}"
    login: str = value.get("login-url", "/")
    if not re.fullmatch(r"(https?://[^/?#\\@]+)?/(?![/\\])[\x21-\x5b\x5d-\x7e]*|https?://[^/?#\\@]+", login):
        yield f"login-url: {login!r} is neither a URL such as https://app.example/login nor a path such as /login"


def _backend_mistakes(value: Mapping[str, Any]) -> Iterator[str]:
    backend: str = value.get("backend", "memory")
    if backend not in _BACKENDS and not _names_object(backend):
        try:
            make_url(backend)
        except (ArgumentError, ValueError):
            yield "backend: it is no database URL such as 'sqlite:///sessions.db', and not memory, django or package.module:object"
    if backend == "memory" and value["workers"] > 1:
        yield "workers: with memory there can be one only, since the others would know nothing of its sessions"


def _identify(value: Mapping[str, Any], mistakes: list[str]) -> tuple[str | None, dict[str, Any]]:
    """The identifier's kind, and the keywords that it is made with."""
    table: dict[str, Any] = dict(value.get("identify-table", {}))
    kind: Any = value.get("identify", table.pop("kind", None))
    if kind is None:
        if table or value["identify-secret"] or "identify-user" in value or "identify-cookie" in value:
            mistakes.append(f"identify: a kind is needed: {BY_NAME['identify'].help}")
        return None, {}
    if not isinstance(kind, str) or (kind not in _IDENTIFIERS and not _names_object(kind)):
        mistakes.append(f"identify: {kind!r} is not one of {', '.join(_IDENTIFIERS)}, and no package.module:object")
        return None, {}
    table.pop("kind", None)
    options: dict[str, Any] = {}
    for key, each in table.items():
        name = key.removesuffix("-file").replace("-", "_")
        if name in options or each == MASK:
            mistakes.append(f"[identify] {key}: {'this is the mask of print-config' if each == MASK else 'it is given twice'}")
            continue
        try:
            options[name] = secrets(content_of(each))[0] if key.endswith("-file") else each
        except ValueError as wrong:
            mistakes.append(f"[identify] {key}: {wrong}")
    if options and kind not in _IDENTIFIERS:
        mistakes.append("identify: package.module:object takes no options from here")
    called = _IDENTIFIERS[kind][2] if kind in _IDENTIFIERS else {}
    own: tuple[str, ...] = value["identify-secret"]
    if own and "secret" in called:
        options[called["secret"]] = own[0]
        if len(own) > 1 and kind == "flask":
            options["fallbacks"] = list(own[1:])
        elif len(own) > 1:
            mistakes.append(f"identify-secret: {kind} takes one only")
    for word in ("user", "cookie"):
        if f"identify-{word}" in value and word in called:
            given = value[f"identify-{word}"]
            options[called[word]] = [given] if called[word] == "cookies" else given
    if not called and (own or "identify-user" in value or "identify-cookie" in value):
        mistakes.append(f"identify: {kind} takes no secret, user or cookie from here")
    return kind, options


def _as_option(kind: str, key: str) -> str:
    """How a keyword of an identifier is given here, if by an option of its own."""
    word = next((word for word, called in _IDENTIFIERS[kind][2].items() if called == key), None)
    return f": identify-{word}" if word else ", in the table [identify]"


def without_password(backend: str) -> str:
    """What was given as ``backend``, fit to be shown."""
    try:
        url = make_url(backend)
        hidden = {name: "***" for name in url.query if any(word in name.lower() for word in ("pass", "secret", "key", "token"))}
        return url.update_query_dict(hidden).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return backend if _names_object(backend) or backend in _BACKENDS else MASK


# --- what is named by a text ------------------------------------------------------------------------------------------


def _names_object(text: str) -> bool:
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _object(option: str, text: str) -> Any:
    """The object that ``package.module:name`` names, called if it is a function or a class. Raises ConfigurationError."""
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _Explained(option):
        found = getattr(import_module(module), name)
        return cast("Callable[[], Any]", found)() if inspect.isfunction(found) or inspect.isclass(found) else found


def _set_up_django(option: str) -> None:
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise ConfigurationError(f"{option}: set DJANGO_SETTINGS_MODULE to the project's settings, and start this where manage.py is")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _Explained(option):
        import_module("django").setup()


def _under(option: str, mistake: str) -> str:
    name, colon, rest = mistake.partition(": ")
    return f"{option}: {rest}" if colon and name in ("database", option) else f"{option}: {mistake}"


class _Explained:
    """Whatever goes wrong in the block is a mistake of one option, and says the way out where we know it."""

    def __init__(self, option: str) -> None:
        self._option = option

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, (KeyboardInterrupt, SystemExit)):
            return
        if isinstance(error, ConfigurationError):  # by the name of the argument there, where it has one
            raise ConfigurationError(*(_under(self._option, mistake) for mistake in error.mistakes)) from None
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _INSTALLED_BY:
            top = (error.name or "").partition(".")[0]
            raise ConfigurationError(f"{self._option}: {top} is not installed; pip install {_INSTALLED_BY[top]}") from None
        if isinstance(error, NoSuchModuleError):
            raise ConfigurationError(f"{self._option}: there is no driver for this kind of database") from None
        if isinstance(error, (ImportError, AttributeError, TypeError)):
            raise ConfigurationError(f"{self._option}: {error}") from None
        raise ConfigurationError(f"{self._option}: {type(error).__name__}") from error
