"""Names for browsers and systems, from the User-Agent that a client sent at its sign-in.

A label has no version and no model: browsers freeze both, so they would be wrong. ``Windows NT 10.0`` is also Windows 11, each
Android says ``10; K``, and an iPad that asks for desktop pages says that it is a Mac.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

from sessionward.api.page.languages import Catalogue

MAX_USER_AGENT: Final = 512
"""Characters that decide. A backend keeps no more."""
MAX_NAME: Final = 40
"""Characters of a product name that a client made up."""


class Label(NamedTuple):
    """What a client is: ``browser`` (or the application that it is), ``system``. Both are names of products, or empty if unknown."""

    browser: str
    system: str


_Table = Sequence[tuple[str, re.Pattern[str]]]


def _table(**patterns: str) -> _Table:
    return tuple((name.replace("_", " ").strip(), re.compile(pattern)) for name, pattern in patterns.items())


# The first one that is found decides: each of them also says the names of those below it.
_BROWSERS: Final = _table(
    DuckDuckGo=r"DuckDuckGo/|Ddg/",
    Edge=r"Edg/|EdgA/|EdgiOS/|Edge/",
    Opera=r"OPR/|OPT/|OPX/|OPiOS/|Opera[ /]",
    Samsung_Internet=r"SamsungBrowser/",
    Vivaldi=r"Vivaldi/",
    Yandex_Browser=r"YaBrowser/",
    UC_Browser=r"UCBrowser/|UBrowser/",
    Huawei_Browser=r"HuaweiBrowser/",
    Mi_Browser=r"MiuiBrowser/",
    Silk=r"Silk/",
    Facebook=r"FBAN/|FBAV/",
    Instagram=r"Instagram ",
    Google_App=r"GSA/",
    Firefox=r"Firefox/|FxiOS/|Focus/",
    Internet_Explorer=r"MSIE |Trident/",
    _=r"; wv\)",  # a view inside of an application, which does not say which one
    Chrome=r"Chrome/|CriOS/|HeadlessChrome/|Chromium/",
    Safari=r"Safari/",
)
_SYSTEMS: Final = _table(
    LG_TV=r"Web0S|NetCast",
    Samsung_TV=r"SMART-TV|Tizen",
    Fire_TV=r"; AFT[A-Z]",
    Apple_TV=r"Apple ?TV|tvOS",
    Android_TV=r"Android TV|GoogleTV|BRAVIA|CrKey",
    PlayStation=r"PlayStation",
    Xbox=r"Xbox",
    iPad=r"iPad",
    iPhone=r"iPhone|iPod",
    Android=r"Android",
    HarmonyOS=r"OpenHarmony|HarmonyOS",
    ChromeOS=r"CrOS",
    Windows=r"Windows",
    Mac=r"Macintosh|Mac OS X|macOS",
    Linux=r"Linux|X11",
)

_PRODUCT: Final = re.compile(r"[^\W\d_][\w.+&'-]*(?: [\w.+&'-]+){0,3}\Z")
"""One to four words, so that a client cannot write a sentence of its own on the page."""
_ROBOT: Final = re.compile(r"compatible; ([A-Za-z][\w.-]{1,39})[/;)]")
_SHELL: Final = frozenset({"AppleWebKit", "Chrome", "Electron", "Gecko", "Safari", "Version", "Mobile"})
"""The products that a desktop application made of Chrome names beside itself."""


@lru_cache(1024)
def label_of(user_agent: str | None) -> Label:
    """Returns what a client is, by the User-Agent that it sent. It is the client's word, and proves nothing."""
    agent = (user_agent or "")[:MAX_USER_AGENT]
    system = _first(_SYSTEMS, agent)
    if not agent.startswith("Mozilla/"):
        return Label(_product(agent.partition("/")[0]) if "/" in agent else "", system)
    return Label(_shell(agent) or _robot(agent) or _first(_BROWSERS, agent), system)


def label_text(label: Label, catalogue: Catalogue) -> str:
    """Returns a label in the reader's language: "Firefox on Windows", or "Unknown device"."""
    if label.browser and label.system:
        return catalogue.gettext("%(browser)s on %(system)s") % label._asdict()
    return label.browser or label.system or catalogue.gettext("Unknown device")


def plain(text: str) -> str:
    """Returns a string of a stranger as one line, without characters that only control: of terminals, and of the writing direction.

    Those that join letters stay, since names in Persian and Hindi need them.
    """
    return " ".join(_INVISIBLE.sub(" ", text).split())


def isolated(text: str) -> str:
    """Returns a stranger's text for an attribute, where ``<bdi>`` cannot be (Unicode, UAX 9)."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # the direction of writing
    "\u00ad\u180e\u200b\u2028\u2029\u2060-\u2065\ufeff\ufff9-\ufffb"  # no width, and ends of lines
    "\ud800-\udfff\U000e0000-\U000e007f]+"  # halves of characters, and tags
)


def _first(table: _Table, agent: str) -> str:
    return next((name for name, pattern in table if pattern.search(agent)), "")


def _product(name: str) -> str:
    """Applications on iPhone and Mac write a space of their name as ``%20``."""
    name = plain(unquote(name))
    return name if len(name) <= MAX_NAME and _PRODUCT.match(name) else ""


def _shell(agent: str) -> str:
    if " Electron/" not in agent:
        return ""
    products = (word.partition("/")[0] for word in agent.rpartition(")")[2].split() if "/" in word)
    return next((_product(product) for product in products if product not in _SHELL), "")


def _robot(agent: str) -> str:
    found = _ROBOT.search(agent)
    return "" if found is None or found[1] in ("MSIE", "Konqueror") else found[1]
