"""Who does the application say is signed in? One file for each framework, and what you need to write an identifier.

:class:`Function` makes one of a function; :class:`Identifier` says what one has to do. :mod:`sessionward.testing` has the same
as tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from itsdangerous import BadData

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, InvalidCredential, UsageError
from sessionward.session.identifier import AnonymousSession, AsyncIdentifier, Identifier, Identity
from sessionward.settings import Duration, seconds

__all__ = ["AnonymousSession", "AsyncIdentifier", "Carrier", "Function", "Identifier", "Identity", "InvalidCredential"]


class Function:
    """An identifier made of a function, plain or async: ``read(name, value)`` is the user's id, an ``Identity``, or None.

    ``name`` is the cookie's as in ``cookies``, or the header's in lower case; ``value`` stands as in the request. None is
    for what can be read and names nobody. For what is forged, expired or unknown the function raises
    :class:`~sessionward.errors.InvalidCredential`; ``itsdangerous.BadData`` means the same. Whatever else it raises becomes
    503, so a bug in it never passes for an anonymous visitor. The other arguments are those of
    :class:`~sessionward.session.identifier.Identifier`; what they do not name can sign someone in past the companion.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    __slots__ = ("_read", "blocking", "cookies", "headers", "identify", "keeps_id_at_login", "lifetime", "server_side")

    identify: Callable[[str, str], Any]

    def __init__(
        self,
        read: Callable[[str, str], Any],
        *,
        cookies: Sequence[str] = (),
        headers: Sequence[Carrier] = (),
        server_side: bool = False,
        keeps_id_at_login: bool = False,
        blocking: bool = True,
        lifetime: Duration = 31 * 86_400.0,
    ) -> None:
        mistakes = [*_mistakes(read, cookies, headers)]
        try:
            self.lifetime = seconds(lifetime)
        except TypeError as wrong:
            mistakes.append(f"lifetime: {wrong}")
        if mistakes:
            raise ConfigurationError(*mistakes)
        self._read = read
        self.cookies = tuple(cookies)
        self.headers = tuple(headers)
        self.server_side = server_side
        self.keeps_id_at_login = keeps_id_at_login
        self.blocking = blocking
        self.identify = self._wait if _is_async(read) else self._ask  # its colour shows in inspect.iscoroutinefunction

    def __repr__(self) -> str:
        return f"Function({getattr(self._read, '__qualname__', type(self._read).__name__)}, cookies={list(self.cookies)})"

    def _ask(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        try:
            return _identity(self._read(name, value))
        except BadData:  # its text quotes the signature
            raise InvalidCredential(f"{name} is not as the application signs it") from None

    async def _wait(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        try:
            return _identity(await self._read(name, value))
        except BadData:
            raise InvalidCredential(f"{name} is not as the application signs it") from None


def _identity(answer: Any) -> Identity | AnonymousSession | None:
    if answer is None or isinstance(answer, (Identity, AnonymousSession)):
        return answer
    if inspect.isawaitable(answer):  # which would be true for everybody
        if inspect.iscoroutine(answer):
            answer.close()
        raise UsageError("the function is plain but answers with something to await; write it as an async def")
    return Identity(user_id=answer)


def _is_async(read: object) -> bool:
    return inspect.iscoroutinefunction(read) or inspect.iscoroutinefunction(getattr(type(read), "__call__", None))  # noqa: B004 - its colour


def _takes_two(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind("", "")
    except TypeError:
        return False
    except ValueError:  # a built-in that does not say
        return True
    return True


def _mistakes(read: object, cookies: Sequence[str], headers: Sequence[object]) -> Iterator[str]:
    if not callable(read):
        yield f"read: a function (name, value) is needed, not {type(read).__name__}"
    elif not _takes_two(read):
        yield "read: the function is called with two arguments, the cookie's name and its value"
    if isinstance(cookies, str):
        yield "cookies: a list of cookie names is needed"
    if any(not isinstance(header, Carrier) or header.is_cookie for header in headers):
        yield "headers: a list of sessionward.Carrier.header(...) is needed"
    if not cookies and not headers:
        yield "cookies: neither cookies nor headers are named, so nothing could sign anyone in"
