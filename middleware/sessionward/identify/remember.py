"""Remember-me cookies, which both identifiers for Flask read: Flask-Login's ``user|signature``, or an application's own.

The cookie carries no time and has the same value in every browser of a user. Flask-Login accepts it under the current secret
only, even where Flask accepts ``SECRET_KEY_FALLBACKS`` for its sessions.
"""

from __future__ import annotations

import hmac
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias

from itsdangerous import BadData

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.session.identifier import Identity

_FORM: Final = re.compile(r"([\w!#$%&'()*+\-./:<=>?@\[\]^`{|}~]*)\|([0-9a-f]{128})", re.ASCII)
"""What Werkzeug writes without quotes. We reject a quoted value, since parsers read it in more than one way."""


RememberOf: TypeAlias = Callable[[str], Any]
"""Reads a remember-me cookie of another form than Flask-Login's: from its value to the user's id, or an ``Identity``. None, or
``InvalidCredential`` or ``itsdangerous.BadData`` raised, means that the cookie proves nothing. It may ask a database."""

ADVICE: Final = (
    "if it is a remember-me cookie of another form than Flask-Login's (a fork's, or the application's own), pass remember=, a function of"
    " its value that returns the user's id; if the user's id has blanks, commas, quotes or letters beyond ASCII, it cannot be remembered,"
    " since Werkzeug then writes a value that servers read in different ways: give get_id() another id"
)
"""What to tell the operator where a remember-me cookie that the application has just set cannot be read."""


def remember_mistakes(remember: object, cookie: str | None) -> Iterator[str]:
    """Yields the mistakes in the argument ``remember``."""
    if remember is None:
        return
    if not callable(remember) or isinstance(remember, type):
        yield f"remember: must be a function of the cookie's value, not {type(remember).__name__}"
    elif inspect.iscoroutinefunction(remember):
        yield "remember: must be a plain function, not an async one"
    if cookie is None:
        yield "remember: reads the remember-me cookie, so remember_cookie must name it"


def freshness_in(session: Mapping[str, Any]) -> bool | None:
    """Returns what Flask-Login says of a session: whether the user has signed in, and was not only remembered. None: nothing."""
    fresh = session.get("_fresh")
    return fresh if isinstance(fresh, bool) else None


class Remember(Protocol):
    """Reads remember-me cookies."""

    def read(self, value: str) -> Identity:
        """Returns the user that this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        ...


class RememberFunction:
    """Reads remember-me cookies with a function of the application."""

    __slots__ = ("_lifetime", "_read")

    def __init__(self, read: RememberOf, lifetime: float) -> None:
        self._read = read
        self._lifetime = lifetime

    def read(self, value: str) -> Identity:
        """Returns the user that this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        try:
            found = self._read(value)
        except BadData:  # its message quotes the signature
            found = None
        if found is None:
            raise InvalidCredential("the function remember= does not know the remember-me cookie")
        return (found if isinstance(found, Identity) else Identity(user_id=found, lifetime=self._lifetime)).remembered()


class RememberToken:
    """Reads the cookies that ``login_user(..., remember=True)`` sets, by the rules of ``flask_login.decode_cookie``."""

    __slots__ = ("_lifetime", "_prepared")

    def __init__(self, secret_key: str | bytes, lifetime: float) -> None:
        """Raises :class:`~sessionward.errors.ConfigurationError` for a key that Flask-Login cannot use."""
        try:
            key = secret_key.encode("latin-1") if isinstance(secret_key, str) else secret_key
        except UnicodeEncodeError:  # its message quotes the key
            raise ConfigurationError(
                "secret_key: must be bytes or a latin-1 str, as Flask-Login signs with it; without remember-me set remember_cookie=None"
            ) from None
        self._prepared = hmac.new(key, digestmod="sha512")
        self._lifetime = lifetime

    def __repr__(self) -> str:
        return "<RememberToken>"

    def read(self, value: str) -> Identity:
        """Returns the user that this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        form = _FORM.fullmatch(value)
        if form is None:
            raise InvalidCredential("the remember-me cookie does not have the form that Flask-Login writes")
        mac = self._prepared.copy()
        mac.update(form[1].encode())
        if not form[1] or not hmac.compare_digest(mac.hexdigest(), form[2]):
            raise InvalidCredential("the application's secret did not sign the remember-me cookie")
        return Identity(user_id=form[1], lifetime=self._lifetime, fresh=False)
