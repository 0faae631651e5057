"""Chooses the mode of a middleware from its backend and settings. No other file asks which mode it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from sessionward.errors import Mistakes
from sessionward.lease import Leases, NoLeases
from sessionward.modes import application, own, recorded
from sessionward.modes.application import Application
from sessionward.modes.assertion import Assertion
from sessionward.modes.companion import mode as companion
from sessionward.modes.companion.mode import Companion
from sessionward.modes.mode import Mode
from sessionward.modes.own import Own
from sessionward.modes.recorded import Recorded
from sessionward.session.capabilities import Capabilities
from sessionward.session.identifier import IdentifierSpec
from sessionward.settings import Settings
from sessionward.settings.functions import is_async, is_generator
from sessionward.settings.limits import bounds_of

WAITERS: Final = 1_000
"""Requests with a revoked session that may wait at once, where they hold no thread."""
THREADS_THAT_WAIT: Final = 2


_NO_API: Final = (
    "api: {0} cannot list the sessions of a user, or cannot revoke one of them; leave the setting out, write the methods list and"
    " revoke_one (sessionward.backends.SupportsSessionAPI), or take a backend that has them, such as SQLBackend"
)


def choose(backend: object, options: Mapping[str, Any], clock: Callable[[], float], *, awaits: bool = True) -> Mode[Any]:
    """Returns the mode for a backend and the settings as a user writes them. ``awaits``: whether the middleware can await.

    ``clock``: returns seconds, for leases; it goes on while the machine is suspended.

    Raises one :class:`ConfigurationError` with all mistakes in both.
    """
    mistakes = Mistakes()
    capabilities = settings = spec = None
    with mistakes.collected():
        capabilities = Capabilities.of(backend)
    with mistakes.collected():
        settings = Settings.of(options)
    with mistakes.collected():
        spec = None if options.get("identify") is None else IdentifierSpec.of(options["identify"])
    chosen = {name for name, value in options.items() if value or name not in ("secrets", "assertion_secrets")}
    cookie_name = str(options.get("cookie_name")) if settings is None else settings.cookie_name
    if capabilities is not None:
        if capabilities.is_async and not awaits:
            sync = capabilities.backend.removeprefix("Async")
            mistakes.add([f"backend: {capabilities.backend} is async, and a WSGI application cannot await it; use {sync}"])
        if spec is not None:
            on_invalid = options.get("on_invalid")
            mistakes.add(companion.mistakes(capabilities, spec, chosen, cookie_name=cookie_name, on_invalid=on_invalid, awaits=awaits))
        elif capabilities.carriers and capabilities.supports_record:
            mistakes.add(recorded.mistakes(capabilities, {*_changed(options)} & chosen, cookie_name))
        elif capabilities.carriers:
            mistakes.add(application.mistakes(capabilities, {*_changed(options)} & chosen))
        else:
            mistakes.add(own.mistakes(chosen))
        mistakes.add(_unjudged(capabilities, options))
        mistakes.add(_unbounded(capabilities, options))
        if options.get("lease") and capabilities.blocks and not capabilities.supports_leases:
            mistakes.add([f"lease: {capabilities.backend} keeps no lease, so every request asks it; leave the setting out"])
        if options.get("api") and not capabilities.supports_api:
            mistakes.add([_NO_API.format(capabilities.backend)])
        for name, function in () if settings is None else settings.called.items():
            if is_generator(function):
                mistakes.add([f"{name}: this function is a generator, so a call of it would run nothing; write it without yield"])
            elif is_async(function) and not awaits:
                mistakes.add([f"{name}: this function is async, and a WSGI application cannot await it; write it as a plain function"])
    mistakes.raise_any()
    assert capabilities is not None
    assert settings is not None
    waiters = settings.lease_waiters or (WAITERS if awaits else THREADS_THAT_WAIT)
    leases = Leases(settings.lease, waiters=waiters, clock=clock) if capabilities.supports_leases else NoLeases()
    if spec is not None:
        return Companion(capabilities, settings, leases, spec, chosen=chosen, clock=clock)
    if capabilities.carriers:
        over_rows = Recorded if capabilities.supports_record else Application
        return over_rows(capabilities, settings, leases)
    return (Assertion if settings.assertion_secrets else Own)(capabilities, settings, leases)


def _changed(options: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of the settings that are not at their default, which may be written out as well as left out."""
    defaults = {setting.name: setting.default for setting in fields(Settings)}
    return (name for name, value in options.items() if (type(value), value) != (type(defaults.get(name)), defaults.get(name)))


def _unjudged(capabilities: Capabilities, options: Mapping[str, Any]) -> Iterator[str]:
    """Yields a mistake for each limit that would silently not hold."""
    backend, judges = capabilities.backend, capabilities.judges
    profile = {bound.setting for bound in bounds_of(options.get("limits"))}
    if "recent" not in judges and (options.get("recent") is not None or "recent" in profile):
        name = "recent" if options.get("recent") is not None else "limits"
        yield f"{name}: {backend} does not know when its users signed in, so we would refuse every user; leave it out"
    if "rate_limit" not in judges and options.get("rate_limit") is not None:
        yield f"rate_limit: {backend} does not count the calls of a session; leave it out, and limit them in a proxy"
    has_idle_limit = options.get("idle_timeout") is not None or "idle_timeout" in profile
    if has_idle_limit and not capabilities.carriers and not capabilities.supports_seen:
        name = "idle_timeout" if options.get("idle_timeout") is not None else "limits"
        yield f"{name}: {backend} does not keep when a session was used last; leave it out"
    if options.get("at_limit") == "refuse" and not capabilities.carriers:
        if options.get("identify") is not None:
            yield "at_limit: with identify we see a sign-in when the application has answered it, too late to refuse it; leave it out"
        elif "at_limit" not in judges:
            yield f"at_limit: {backend} does not refuse sign-ins; leave it out"


def _unbounded(capabilities: Capabilities, options: Mapping[str, Any]) -> Iterator[str]:
    """Yields a mistake if the application bounds its sessions itself, so that the profile would promise what is not ours."""
    profile = options.get("limits")
    bounds = [bound.setting for bound in bounds_of(profile) if bound.setting != "recent"]
    if capabilities.carriers and bounds:
        yield f"limits: the application starts its sessions itself, so it has to set their {' and '.join(bounds)}; leave {profile!r} out"
    elif options.get("identify") is not None and "lifetime" in bounds:  # a companion lives on as long as the login is used
        yield f"limits: with identify the application's login has to have the lifetime of {profile!r}; set it there, and leave limits out"
