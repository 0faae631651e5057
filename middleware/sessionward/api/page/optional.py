"""Whether there is a page: Jinja2 is an extra, and without it browsers get JSON as other clients do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionward.errors import ConfigurationError
from sessionward.settings import Settings
from sessionward.settings.page import Page

if TYPE_CHECKING:
    from sessionward.api.page.render import Renderer

NO_JINJA: Final = 'the page Your devices needs Jinja2: pip install "sessionward[page]"'
JINJA: Final = ("jinja2", "markupsafe")
"""The modules of that extra."""


def renderer_of(settings: Settings) -> Renderer | None:
    """Returns what makes the page, or None if there is none.

    Raises :class:`~sessionward.errors.ConfigurationError` for a page that cannot be shown (:func:`check_page`).
    """
    check_page(settings.page)
    if not settings.api:
        return None
    try:
        from sessionward.api.page.render import Renderer
    except ModuleNotFoundError as missing:
        if missing.name not in JINJA:
            raise
        return None
    return Renderer(settings.page or Page(), settings)


def check_page(page: object) -> None:
    """Raises :class:`~sessionward.errors.ConfigurationError` for a page with wrong templates, or if Jinja2 is missing.

    ``page``: the setting as a user writes it. It needs no other setting, so that one error can have these mistakes and all others.
    """
    if not isinstance(page, Page):
        return
    try:
        from sessionward.api.page.render import compiled
    except ModuleNotFoundError as missing:
        if missing.name not in JINJA:
            raise
        raise ConfigurationError(f"page: {NO_JINJA}") from None
    compiled(page.templates)
