"""The languages of the page: which one a browser asks for, and its catalogue.

A catalogue is a ``.po`` file in ``locale/``. The build of the wheel compiles it (``hatch_build.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from typing import Final

from sessionward.errors import ConfigurationError
from sessionward.settings.page import LANGUAGES

DEFAULT: Final = "en"
"""This language is in the program itself; each of the others has a catalogue."""

_RIGHT_TO_LEFT: Final = frozenset({"ar"})
_MAX_BYTES: Final = 512
_MAX_RANGES: Final = 20
_RANGE: Final = re.compile(r"([a-z0-9]{1,8}(?:-[a-z0-9]{1,8})*|\*)(?:[ \t]*;[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?\Z")
"""RFC 9110, 12.5.4, in lower case."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The sentences of the page in one language. ``language``: its tag (RFC 5646), for ``lang``. ``direction``: for ``dir``.

    Each method returns a pattern with named places, such as ``%(count)s``.
    """

    language: str
    direction: str
    translations: NullTranslations = field(repr=False)

    def gettext(self, message: str) -> str:
        """Returns a sentence."""
        return self.translations.gettext(message)

    def ngettext(self, one: str, many: str, count: int) -> str:
        """Returns the sentence that fits a number."""
        return self.translations.ngettext(one, many, count)

    def pgettext(self, context: str, message: str) -> str:
        """Returns a sentence whose words have another meaning elsewhere: ``context`` says which one it is."""
        return self.translations.pgettext(context, message)

    def isolated(self, text: str) -> str:
        """Returns digits and signs such that a sentence from right to left keeps their order (Unicode, UAX 9)."""
        return text if self.direction == "ltr" else f"\N{LEFT-TO-RIGHT ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


@cache
def catalogue(language: str) -> Catalogue:
    """Returns the catalogue of one of ``LANGUAGES``. It is read once.

    Raises :class:`~sessionward.errors.ConfigurationError` for another language, and in a checkout that was never installed.
    """
    if language not in LANGUAGES:
        raise ConfigurationError(f"the page has no language {language!r}; it has {', '.join(LANGUAGES)}")
    direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
    if language == DEFAULT:
        return Catalogue(language, direction, NullTranslations())
    compiled = files("sessionward.api.page").joinpath("locale", language, "LC_MESSAGES", "sessionward.mo")
    try:
        return Catalogue(language, direction, GNUTranslations(_Bytes(compiled.read_bytes())))
    except FileNotFoundError:
        raise ConfigurationError(f"the catalogue {language!r} is not compiled; in a checkout run: pip install -e .") from None


def best(accept_language: bytes | None, supported: Iterable[str] = LANGUAGES) -> str:
    """Returns the supported language that an Accept-Language field prefers, or English. Reads at most 512 bytes and 20 ranges."""
    offered = {language.lower(): language for language in supported}
    wanted: dict[str, float] = {}
    for part in (accept_language or b"")[:_MAX_BYTES].decode("latin-1").lower().replace("_", "-").split(",")[:_MAX_RANGES]:
        if found := _RANGE.match(part.strip(" \t")):
            wanted.setdefault(found[1], float(found[2] or 1))
    for tag in sorted(wanted, key=wanted.__getitem__, reverse=True):  # equal ones stay in the order of the field
        for name in (tag, tag.partition("-")[0]):
            if wanted[tag] and wanted.get(name, 1) and name in offered:
                return offered[name]
        if tag == "*" and wanted.get(DEFAULT, 1):
            break
    return DEFAULT


class _Bytes:
    """What ``gettext`` reads: a file that is in memory, since a zipped wheel has no other."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content
