"""Makes the pages from their templates, with Jinja2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, FunctionLoader, PrefixLoader, StrictUndefined, Template
from jinja2.exceptions import TemplateError
from markupsafe import Markup, escape

from sessionward.api.page.headers import content_security_policy
from sessionward.api.page.languages import Catalogue, best, catalogue
from sessionward.errors import ConfigurationError
from sessionward.settings import Settings
from sessionward.settings.page import LANGUAGES, Page

SAMPLES: Final = (1, 2, 3, 11, 100, 1_000_000)
"""Numbers such that every plural of our languages has one."""
TEMPLATES: Final = ("devices.html", "problem.html")


class Renderer:
    """The pages of one middleware: their templates compiled, and their Content-Security-Policy.

    ``page``: what the application has changed. Raises :class:`~sessionward.errors.ConfigurationError` for wrong templates.
    """

    def __init__(self, page: Page, settings: Settings) -> None:
        self.page = page
        accent, on_accent = page.colours
        style = f":root{{--accent:{accent};--on-accent:{on_accent}}}\n{_text('page.css')}"
        script = _text("page.js")
        self.policy = content_security_policy(style, script, page, settings.public_origin)
        always = {"page": page, "style": Markup(style), "script": Markup(script), "samples": SAMPLES}  # noqa: S704 - our own texts
        self._templates = compiled(page.templates)
        self._always: Mapping[str, Mapping[str, object]] = {
            language: {**always, **_words(catalogue(language))} for language in ((page.language,) if page.language else LANGUAGES)
        }

    def catalogue(self, accept_language: bytes | None) -> Catalogue:
        """Returns the catalogue of the reader's language."""
        return catalogue(self.page.language or best(accept_language))

    def render(self, template: str, language: str, values: Mapping[str, object]) -> bytes:
        """Returns one of ``TEMPLATES`` in a language."""
        return self._templates[template].render(self._always[language], **values).encode()


@cache
def _text(name: str) -> str:
    return files("sessionward.api.page").joinpath(name).read_text(encoding="utf-8")


@cache
def compiled(directory: str | None) -> Mapping[str, Template]:
    """Returns ``TEMPLATES``, those of a directory before ours. Raises :class:`~sessionward.errors.ConfigurationError` for wrong ones."""
    ours = FunctionLoader(lambda name: _text(f"templates/{name}") if name in _OURS else None)
    loaders = [*([] if directory is None else [FileSystemLoader(directory)]), ours]
    environment = Environment(
        autoescape=True,  # a User-Agent is a stranger's text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        loader=ChoiceLoader([*loaders, PrefixLoader({"sessionward": ours})]),
    )
    if directory is not None and not {"layout.html", *TEMPLATES}.intersection(FileSystemLoader(directory).list_templates()):
        raise ConfigurationError(f"page.templates: {directory!r} has neither layout.html nor {' nor '.join(TEMPLATES)}")
    try:
        return {name: environment.get_template(name) for name in TEMPLATES}
    except TemplateError as error:
        raise ConfigurationError(f"page.templates: {getattr(error, 'name', None) or directory}: {error.message}") from error


_OURS: Final = frozenset({"layout.html", *TEMPLATES})


def _words(words: Catalogue) -> Mapping[str, object]:
    """Returns the functions that a template calls for a sentence. Values are escaped, unless they are markup themselves."""

    def gettext(message: str, **values: object) -> Markup:
        return _filled(words.gettext(message), values)

    def ngettext(one: str, many: str, number: int, **values: object) -> Markup:
        return _filled(words.ngettext(one, many, number), {"count": number, **values})

    def pgettext(context: str, message: str, **values: object) -> Markup:
        return _filled(words.pgettext(context, message), values)

    named: Mapping[str, Callable[..., Markup]] = {"_": gettext, "ngettext": ngettext, "pgettext": pgettext}
    return {**named, "foreign": _foreign, "language": words.language, "direction": words.direction}


def _filled(sentence: str, values: Mapping[str, object]) -> Markup:
    """Returns a sentence with its values. ``Markup(sentence) % values`` is the same, and takes nearly twice as long."""
    return Markup(sentence % {name: escape(value) for name, value in values.items()})  # noqa: S704


def _foreign(text: str) -> Markup:
    """Returns a stranger's text for a sentence of the page."""
    return Markup("<bdi>%s</bdi>") % text
