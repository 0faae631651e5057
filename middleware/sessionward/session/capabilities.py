"""What a backend declares about itself, read once when a middleware is made."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, UsageError

_REQUIRED = ("find", "revoke_others")
_LOGIN = ("login", "begin_login", "revoke", "revoke_all")
_COMPANIONS = ("companion_status", "is_revoked_app_session", "adopt", "extend")
_QUIET = ("revoke_others_quietly",)
_TERMS = {"recent": "judges_recent", "rate_limit": "judges_rate"}
_API = ("list", "revoke_one")
_LEASES = ("check", "lease_wait", "raise_lease", "set_lease")
_MANY = ("find_many",)
_EVERYBODY = ("revoke_everybody",)
_SEEN = ("note_seen",)
_RECORD = ("which_revoked", "note", "renewed")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend declares about itself, read once when a middleware is made. ``backend``: the name of its class."""

    backend: str
    operations: frozenset[str]
    is_async: bool
    blocks: bool
    carriers: Sequence[Carrier]
    """Empty for those of CONTRACT.md 2."""
    caches: Sequence[str] = ()
    """The cookies in which the application keeps a copy of a session."""
    judges: frozenset[str] = frozenset()
    """The settings that it enforces itself, of ``recent``, ``rate_limit`` and ``at_limit``."""

    @property
    def supports_login(self) -> bool:
        return "login" in self.operations

    @property
    def supports_companions(self) -> bool:
        return {"login", "revoke", *_COMPANIONS} <= self.operations

    @property
    def supports_record(self) -> bool:
        return not self.operations.isdisjoint(_RECORD)

    @property
    def supports_leases(self) -> bool:
        """Whether its answers may be trusted for a while. One that never waits is asked each time, for less than a look at a lease."""
        return self.blocks and {"login", *_LEASES} <= self.operations

    @property
    def supports_api(self) -> bool:
        return set(_API) <= self.operations

    @property
    def supports_many(self) -> bool:
        return "find_many" in self.operations

    @property
    def supports_seen(self) -> bool:
        return "note_seen" in self.operations

    def require(self, operation: str, why: str = "the application starts its sessions itself") -> None:
        """Raises :class:`UsageError` unless the backend has this operation. ``why``: why a backend has it not."""
        if operation not in self.operations:
            raise UsageError(f"{self.backend} has no {operation}(): {why}")

    @classmethod
    def of(cls, backend: object) -> Capabilities:
        """Returns the capabilities of a backend. Raises :class:`ConfigurationError` if it is none, or mixes sync and async methods."""
        if backend is None or isinstance(backend, (str, bytes)):
            raise ConfigurationError("backend: pass an object, such as sessionward.backends.sql.SQLBackend('sqlite:///sessions.db')")
        if isinstance(backend, type):
            raise ConfigurationError(f"backend: {backend.__name__} is a class; pass an instance, {backend.__name__}(...)")
        name = type(backend).__name__
        known = (*_REQUIRED, *_LOGIN, "revoke_own", *_COMPANIONS, *_QUIET, *_API, *_LEASES, *_MANY, *_EVERYBODY, *_SEEN, *_RECORD)
        methods = {operation: method for operation in known if callable(method := getattr(backend, operation, None))}
        missing = [operation for operation in _REQUIRED if operation not in methods]
        if missing:
            raise ConfigurationError(f"backend: {name} has no {' and no '.join(missing)}; see sessionward.backends.Backend")
        asynchronous = [operation for operation, method in methods.items() if inspect.iscoroutinefunction(method)]
        if asynchronous and len(asynchronous) < len(methods):
            raise ConfigurationError(
                f"backend: {name} mixes sync and async: only {', '.join(asynchronous)} are async; make all sync or all async"
            )
        carriers: Sequence[Carrier] = getattr(backend, "carriers", ())
        caches: Sequence[str] = getattr(backend, "cookie_caches", ())
        blocks = bool(getattr(backend, "blocking", True))
        judges = frozenset(_judged(backend, methods))
        return cls(name, frozenset(methods), bool(asynchronous), blocks, tuple(carriers), tuple(caches), judges)


def _judged(backend: object, methods: Collection[str]) -> Iterator[str]:
    if set(_QUIET) <= set(methods):  # the terms reach a backend by this method
        yield from (setting for setting, name in _TERMS.items() if getattr(backend, name, True))
    if "login" in methods and getattr(backend, "judges_limit", False):
        yield "at_limit"
