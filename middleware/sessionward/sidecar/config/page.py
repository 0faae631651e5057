"""What the options ``--page-...`` make: the page *Your devices* of the application behind a sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sessionward.api.page import Page
from sessionward.errors import ConfigurationError

PREFIX: Final = "page-"


def configured_page(value: Mapping[str, Any], mistakes: list[str]) -> Page | None:
    """Returns the page that options describe, or None if there is none of them. Adds to ``mistakes`` what is wrong."""
    given = {name: each for name, each in value.items() if name.startswith(PREFIX)}
    if given and not value.get("api"):
        mistakes.append(f"{next(iter(given))}: there is no page without the session API; give --api, too")
        return None
    try:
        return Page(**{name.removeprefix(PREFIX).replace("-", "_"): each for name, each in given.items()}) if given else None
    except ConfigurationError as error:
        named = (mistake.partition(":") for mistake in error.mistakes)
        mistakes += [name.replace("page.", PREFIX).replace("_", "-") + colon + rest for name, colon, rest in named]
        return None
