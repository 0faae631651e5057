"""What an application can change of the page *Your devices*."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Final, TypeAlias

from sessionward.errors import ConfigurationError
from sessionward.settings.functions import is_async
from sessionward.settings.values import is_text

LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "ja")
"""The languages of the page."""
Place: TypeAlias = Callable[[str, str], str | Awaitable[str | None] | None]
"""Gets an address and a language ("de"), and returns the name of a place in that language, or None if it knows none.

It may be async, except under WSGI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page *Your devices* of one application. Every field has a default.

    - ``name``: of the application, as its users know it.
    - ``accent``: the colour of the buttons: ``"#0b57d0"``, or one of the sixteen names of HTML 4, such as ``"navy"``.
    - ``css``: the address of one more stylesheet, which comes after ours: ``"/static/devices.css"``, or on another host.
    - ``logo``: the address of a picture beside the name. It is shown 28 pixels high.
    - ``templates``: a directory whose ``layout.html``, ``devices.html`` and ``problem.html`` come before ours, which they extend
      as ``sessionward/layout.html`` and so on.
    - ``label``: returns what a client is called, by its User-Agent. It must not wait, since it may run on the event loop. None: by
      our own table, "Firefox on Windows".
    - ``place``: returns the place of an address in a language, or None. It runs in one of our threads, and may be async except under
      WSGI. What it does not answer within ``backend_timeout`` has no place. Without it the page shows addresses only.
    - ``language``: of the page for all readers. None: each reader's own, by ``Accept-Language``.
    - ``change_password``: the address of the page where a user whose session was stolen changes the password.
    - ``tokens``: the address of the page where users see their API keys and connected apps, which are no sessions.

    Raises :class:`~sessionward.errors.ConfigurationError` with all mistakes.
    """

    name: str = ""
    accent: str = "#0b57d0"
    css: str | None = None
    logo: str | None = None
    templates: str | None = None
    label: Callable[[str], str] | None = field(default=None, repr=False)
    place: Place | None = field(default=None, repr=False)
    language: str | None = None
    change_password: str | None = None
    tokens: str | None = None

    def __post_init__(self) -> None:
        mistakes = [*_mistakes(self)]
        if mistakes:
            raise ConfigurationError(*mistakes)

    @property
    def colours(self) -> tuple[str, str]:
        """The accent as ``#rrggbb``, and black or white: what is easier to read on it (WCAG 2.2, 1.4.3)."""
        accent = _COLOURS.get(self.accent.lower(), self.accent).lower()
        digits = accent[1:] if len(accent) == 7 else "".join(digit * 2 for digit in accent[1:])
        red, green, blue = (_linear(int(digits[at : at + 2], 16) / 255) for at in (0, 2, 4))
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        return f"#{digits}", "#fff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else "#000"


def _linear(channel: float) -> float:
    """WCAG 2.2, relative luminance."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


_COLOURS: Final[Mapping[str, str]] = {
    "black": "#000000",
    "silver": "#c0c0c0",
    "gray": "#808080",
    "white": "#ffffff",
    "maroon": "#800000",
    "red": "#ff0000",
    "purple": "#800080",
    "fuchsia": "#ff00ff",
    "green": "#008000",
    "lime": "#00ff00",
    "olive": "#808000",
    "yellow": "#ffff00",
    "navy": "#000080",
    "blue": "#0000ff",
    "teal": "#008080",
    "aqua": "#00ffff",
}
_HEX: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
"""Nothing else: the colour becomes a part of our stylesheet."""
_ADDRESS: Final = re.compile(
    r"(?:https?://[A-Za-z0-9.-]+(?::[0-9]+)?)?/(?!/)[A-Za-z0-9._~!$&()*+=:@%/-]*(?:\?[A-Za-z0-9._~!$&()*+=:@%/?-]*)?\Z"
)
"""A path of the same host, or a URL: neither ``javascript:``, nor ``//host``, nor what would end a Content-Security-Policy."""


_EXAMPLES: Final[Mapping[str, str]] = {
    "css": "/static/devices.css",
    "logo": "/static/logo.svg",
    "change_password": "/account/password",
    "tokens": "/account/keys",
}
"""Fields that are addresses."""


def _mistakes(page: Page) -> Iterator[str]:
    """Yields all mistakes, each with the way out."""
    values: Mapping[str, object] = {name: getattr(page, name) for name in Page.__dataclass_fields__}
    accent, language = values["accent"], values["language"]
    if not isinstance(values["name"], str):
        yield "page.name: must be a str"
    elif not is_text(values["name"]):
        yield "page.name: has a character that UTF-8 cannot encode"
    if not isinstance(accent, str) or not (accent.lower() in _COLOURS or _HEX.match(accent)):
        yield f"page.accent: {accent!r} is not a colour such as '#0b57d0' or 'navy'"
    for name, example in _EXAMPLES.items():
        address = values[name]
        if address is not None and not (isinstance(address, str) and _ADDRESS.match(address)):
            yield f"page.{name}: must be a path such as {example!r} or an https URL, not {address!r}"
    if not isinstance(values["templates"], (str, NoneType)):
        yield "page.templates: must be the path of a directory, or None"
    for name in ("label", "place"):
        if values[name] is not None and not callable(values[name]):
            yield f"page.{name}: must be a function, or None"
    if is_async(values["label"]):
        yield "page.label: this function is async, and a label must not wait; write it as a plain function"
    if language is not None and language not in LANGUAGES:
        yield f"page.language: {language!r} is not one of {', '.join(LANGUAGES)}, and not None"
