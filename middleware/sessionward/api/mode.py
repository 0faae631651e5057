"""The mode of a middleware, with the mistakes in all its settings, those of the page too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sessionward.api.page.optional import check_page
from sessionward.errors import Mistakes
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode


def mode_of(backend: object, options: Mapping[str, Any], clock: Callable[[], float], *, awaits: bool = True) -> Mode[Any]:
    """Returns the mode, as :func:`~sessionward.modes.choose.choose` does.

    Raises one :class:`~sessionward.errors.ConfigurationError` with all mistakes, also those of the page.
    """
    mistakes, mode = Mistakes(), None
    with mistakes.collected():
        mode = choose(backend, options, clock, awaits=awaits)
    with mistakes.collected():
        check_page(options.get("page"))
    mistakes.raise_any()
    assert mode is not None
    return mode
