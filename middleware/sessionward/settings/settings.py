"""The settings of both middlewares, checked once and then frozen. One error reports all mistakes."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from sessionward.errors import ConfigurationError, Mistakes
from sessionward.settings.checks import mistakes_in
from sessionward.settings.limits import preset
from sessionward.settings.page import Page
from sessionward.settings.values import NORMAL


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property needs a __dict__
class Settings:
    """The checked settings; :class:`Options` says what each means. Durations are in seconds. Every default is the safe choice."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    assertion_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    identify: object = None
    path: str = "/auth/sessions"
    api: bool = False
    page: Page | None = None
    cookie_name: str = ""
    cookie_domain: str | None = None
    cookie_samesite: str = "lax"
    insecure: bool = False
    on_invalid: str = "strip"
    exempt_paths: tuple[str, ...] = ()
    trusted_origins: tuple[str, ...] = ()
    public_origin: str | None = None
    audience: str = ""
    remote_user: bool = False
    lifetime: float = 14 * 86_400.0
    idle_timeout: float | None = None
    max_sessions: int = 1000
    at_limit: str = "revoke"
    recent: float | None = None
    sign_in: str | None = None
    rate_limit: int | None = None
    limits: str | None = None
    revoke_impersonations: bool = False
    also: Callable[[str], object] | None = field(default=None, repr=False)
    backend_timeout: float = 2.0
    lease: float = 0.0
    lease_waiters: int = 0
    recheck: float | None = 5.0
    recheck_paths: tuple[str, ...] | None = None
    debug: bool = False

    @cached_property
    def trusted(self) -> frozenset[bytes]:
        """``trusted_origins`` as a request has them."""
        return frozenset(origin.encode() for origin in self.trusted_origins)

    @cached_property
    def public(self) -> bytes | None:
        """``public_origin`` as a request has it."""
        return None if self.public_origin is None else self.public_origin.encode()

    @cached_property
    def exempt(self) -> tuple[bytes, ...]:
        """``exempt_paths`` as a request line has them."""
        return tuple(quote(prefix, safe="/%:@!$&'()*+,;=~").encode() for prefix in self.exempt_paths)

    @cached_property
    def rechecked(self) -> tuple[bytes, ...] | None:
        """``recheck_paths``, decoded."""
        return None if self.recheck_paths is None else tuple(unquote_to_bytes(prefix) for prefix in self.recheck_paths)

    @cached_property
    def called(self) -> Mapping[str, object]:
        """The functions of the application that we call and that may wait, by their settings."""
        functions = {"also": self.also, "page.place": getattr(self.page, "place", None)}
        return {name: function for name, function in functions.items() if function is not None}

    def __post_init__(self) -> None:
        mistakes = [*mistakes_in(self)]
        if mistakes:
            raise ConfigurationError(*mistakes)
        if not self.cookie_name:
            prefix = "" if self.insecure else "__Secure-" if self.cookie_domain else "__Host-"
            mark = f"-{audience_mark(self.audience)}" if self.audience else ""
            object.__setattr__(self, "cookie_name", f"{prefix}session-ward{mark}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Returns the settings from keywords as a user writes them. Raises one :class:`ConfigurationError` with all mistakes."""
        known = {setting.name for setting in fields(cls)}
        mistakes = Mistakes()
        values: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                mistakes.add([f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")])
                continue
            try:
                values[name] = NORMAL[name](value) if name in NORMAL else value
            except (TypeError, ValueError) as problem:
                mistakes.add([f"{name}: {problem}"])
        values |= preset(options.get("limits"), values)
        settings = None
        with mistakes.collected():
            settings = cls(**values)
        mistakes.raise_any()
        assert settings is not None
        return settings


def audience_mark(audience: str) -> str:
    """Returns the end of the default cookie name: 6 base-62 digits of the SHA-256 of the audience (CONTRACT.md 2).

    So two applications on one host do not share a cookie.
    """
    number = int.from_bytes(hashlib.sha256(audience.encode()).digest())
    return "".join(_BASE_62[number // 62**place % 62] for place in range(42, 36, -1))  # 256 bits need 43 digits


_BASE_62: Final = digits + ascii_uppercase + ascii_lowercase
