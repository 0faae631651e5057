"""Chooses the mode of a middleware from its backend and settings. No other file asks which mode it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sessionward.errors import Mistakes
from sessionward.modes import application, own, recorded
from sessionward.modes.application import Application
from sessionward.modes.assertion import Assertion
from sessionward.modes.companion import mode as companion
from sessionward.modes.companion.mode import Companion
from sessionward.modes.mode import Mode
from sessionward.modes.own import Own
from sessionward.modes.recorded import Recorded
from sessionward.session.backend import Capabilities
from sessionward.session.identifier import IdentifierSpec
from sessionward.settings import Settings


def choose(backend: object, options: Mapping[str, Any], *, awaits: bool = True) -> Mode[Any]:
    """Returns the mode for a backend and the settings as a user writes them. ``awaits``: whether the middleware can await.

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
            mistakes.add(recorded.mistakes(capabilities, chosen, cookie_name))
        elif capabilities.carriers:
            mistakes.add(application.mistakes(capabilities, chosen))
        else:
            mistakes.add(own.mistakes(chosen))
    mistakes.raise_any()
    assert capabilities is not None
    assert settings is not None
    if spec is not None:
        return Companion(capabilities, settings, spec, chosen=chosen)
    if capabilities.carriers:
        return Recorded(capabilities, settings) if capabilities.supports_record else Application(capabilities, settings)
    return Assertion(capabilities, settings) if settings.assertion_secrets else Own(capabilities, settings)
