"""Identifiers, which say which user the application has signed in. Each framework has one file.

To write one, start here: :class:`Identifier` is the protocol, :class:`Function` makes an identifier of a function, and
:mod:`sessionward.testing` has the tests that an identifier must pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from itsdangerous import BadData

from sessionward.credential.carriers import Carrier
from sessionward.errors import InvalidCredential, Mistakes, UsageError
from sessionward.identify.arguments import duration
from sessionward.session.identifier import DAY, AnonymousSession, AsyncIdentifier, Identifier, Identity
from sessionward.settings import Duration

__all__ = ["AnonymousSession", "AsyncIdentifier", "Carrier", "Function", "Identifier", "Identity", "InvalidCredential"]


class Function:
    """An identifier made of a function, sync or async.

    ``read(name, value)`` returns the user's id, an ``Identity``, an ``AnonymousSession``, or None. ``name`` is the cookie's
    name as in ``cookies``, or the header's name in lower case. ``value`` is as in the request. None means that the
    credential is valid and names no user.

    The function raises :class:`~sessionward.errors.InvalidCredential` for a credential that is forged, expired or unknown.
    ``itsdangerous.BadData`` means the same. Every other exception becomes 503, so a bug in the function never makes a
    request anonymous.

    The other arguments are those of :class:`~sessionward.session.identifier.Identifier`. A credential that neither
    ``cookies`` nor ``headers`` names can sign a user in without a companion.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    identify: Callable[[str, str], Any]
    """The method of :class:`~sessionward.session.identifier.Identifier`. It is async if the function is."""

    def __init__(
        self,
        read: Callable[[str, str], Any],
        *,
        cookies: Sequence[str] = (),
        headers: Sequence[Carrier] = (),
        server_side: bool = False,
        keeps_id_at_login: bool = False,
        blocking: bool = True,
        lifetime: Duration = 31 * DAY,
    ) -> None:
        mistakes = Mistakes()
        mistakes.add(_mistakes(read, cookies, headers))
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        mistakes.raise_any()
        self.cookies = tuple(cookies)
        self.headers = tuple(headers)
        self.server_side = server_side
        self.keeps_id_at_login = keeps_id_at_login
        self.blocking = blocking
        self.identify = self._identify_async if _is_async(read) else self._identify  # inspect.iscoroutinefunction tells them apart
        self._read = read

    def __repr__(self) -> str:
        return f"Function({getattr(self._read, '__qualname__', type(self._read).__name__)}, cookies={list(self.cookies)})"

    def _identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        try:
            return _answer(self._read(name, value))
        except BadData:  # its message quotes the signature
            raise InvalidCredential(f"{name} is forged, expired or malformed") from None

    async def _identify_async(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        try:
            return _answer(await self._read(name, value))
        except BadData:
            raise InvalidCredential(f"{name} is forged, expired or malformed") from None


def _answer(answer: Any) -> Identity | AnonymousSession | None:
    if answer is None or isinstance(answer, (Identity, AnonymousSession)):
        return answer
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()  # otherwise Python warns that it was never awaited
        raise UsageError("the function is sync but returns an awaitable; write it as an async def")
    return Identity(user_id=answer)


def _is_async(read: object) -> bool:
    return inspect.iscoroutinefunction(read) or inspect.iscoroutinefunction(getattr(type(read), "__call__", None))  # noqa: B004 - asks whether the call is async


def _takes_two(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind("", "")
    except TypeError:
        return False
    except ValueError:  # a built-in function without a signature
        return True
    return True


def _mistakes(read: object, cookies: Sequence[str], headers: Sequence[object]) -> Iterator[str]:
    if not callable(read):
        yield f"read: must be a function (name, value), not {type(read).__name__}"
    elif not _takes_two(read):
        yield "read: must take two arguments, the cookie's name and its value"
    if isinstance(cookies, str):
        yield "cookies: must be a list of cookie names"
    if any(not isinstance(header, Carrier) or header.is_cookie for header in headers):
        yield "headers: must be a list of sessionward.identify.Carrier.header(...)"
    if not cookies and not headers:
        yield "cookies: neither cookies nor headers are named; name every credential that can sign a user in"
