"""Objects that a configuration names: ``package.module:object``, and classes whose library may be missing."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any, Final, cast

from sqlalchemy.exc import NoSuchModuleError

from sessionward.errors import ConfigurationError

_INSTALLED_BY: Final = {
    "django": "django",
    "asyncpg": "'sessionward[asyncpg]'",
    "psycopg": "'sessionward[postgresql]'",
    "asyncmy": "'sessionward[mysql-async]'",
    "pymysql": "'sessionward[mysql]'",
    "redis": "'sessionward[redis]'",
    "jwt": "'sessionward[jwt]'",
    "flask": "flask",
}
"""What ``pip install`` gets, by the name of the module that is missing."""


def names_object(name: str) -> bool:
    """Returns whether this has the form ``package.module:object``."""
    module, colon, last = name.partition(":")
    return bool(colon) and last.isidentifier() and all(part.isidentifier() for part in module.split("."))


def named_object(option: str, name: str) -> Any:
    """Returns the object that ``package.module:object`` names, called if it is a function or a class.

    Raises :class:`ConfigurationError` under the name of the option.
    """
    module, _, last = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with explained(option):
        found = getattr(import_module(module), last)
        return cast("Callable[[], Any]", found)() if inspect.isfunction(found) or inspect.isclass(found) else found


def set_up_django(option: str) -> None:
    """Loads the Django project that DJANGO_SETTINGS_MODULE names. Raises :class:`ConfigurationError`."""
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise ConfigurationError(f"{option}: set DJANGO_SETTINGS_MODULE to the project's settings, and start this where manage.py is")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with explained(option):
        import_module("django").setup()


class explained:  # noqa: N801 - reads as a word after "with"
    """Makes each exception of a block a mistake of one option, with the way out where we know it."""

    def __init__(self, option: str) -> None:
        self._option = option

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _place: TracebackType | None, /) -> None:
        if error is None or isinstance(error, (KeyboardInterrupt, SystemExit)):
            return
        if isinstance(error, ConfigurationError):  # under the name of the argument there, where it has one
            raise ConfigurationError(*(_under(self._option, mistake) for mistake in error.mistakes)) from None
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _INSTALLED_BY:
            top = (error.name or "").partition(".")[0]
            raise ConfigurationError(f"{self._option}: {top} is not installed; pip install {_INSTALLED_BY[top]}") from None
        if isinstance(error, NoSuchModuleError):
            raise ConfigurationError(f"{self._option}: there is no driver for this kind of database") from None
        if isinstance(error, (ImportError, AttributeError, TypeError)):
            raise ConfigurationError(f"{self._option}: {error}") from None
        raise ConfigurationError(f"{self._option}: {type(error).__name__}") from error


def _under(option: str, mistake: str) -> str:
    name, colon, rest = mistake.partition(": ")
    return f"{option}: {rest}" if colon and name in ("database", "server", option) else f"{option}: {mistake}"
