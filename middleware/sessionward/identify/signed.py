"""A cookie that an application signs with itsdangerous, and that holds the user's id: Datasette's ``ds_actor`` and others."""

from __future__ import annotations

import hashlib
import re
from time import time
from typing import Any, ClassVar, Final

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from sessionward.errors import InvalidCredential, Mistakes
from sessionward.identify.arguments import cookie_mistakes, lifetime_of, named_by
from sessionward.identify.lookup import DIGESTS, at_path
from sessionward.session.identifier import DAY, Identity

_FORM: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""What URL-safe serializers write. itsdangerous ignores other bytes in a signature, and cookie parsers do not agree on them."""
_BASE62: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"
"""The digits with which Datasette writes a time."""
FOREVER: Final = 400 * DAY
"""Seconds. Browsers keep no cookie for longer (RFC 6265bis, 5.6.2)."""
DERIVATIONS: Final = ("concat", "django-concat", "hmac", "none")


class SignedCookie:
    """Says which user a cookie signed by ``URLSafeSerializer`` or ``URLSafeTimedSerializer`` of itsdangerous signs in.

    - ``secret``, ``salt``, ``digest`` and ``key_derivation``: as the application gives them to its serializer.
    - ``user``: a dotted path to the user's id in what is signed, such as ``a.id``. A cookie without it names no user.
    - ``max_age``: whole seconds, where the application signs with a time. None: the cookie holds no time.
    - ``expires``: a dotted path to the time at which the cookie expires: seconds since 1970, or these as Datasette writes them.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = False

    def __init__(
        self,
        secret: str,
        *,
        cookie: str,
        user: str,
        salt: str = "itsdangerous",
        max_age: int | None = None,
        expires: str | None = None,
        digest: str = "sha1",
        key_derivation: str = "django-concat",
    ) -> None:
        mistakes = Mistakes()
        mistakes.add(cookie_mistakes("cookie", cookie))
        if not secret:
            mistakes.add(["secret: is empty, so every client could sign with it; pass the secret of the application"])
        if not user:
            mistakes.add(["user: must be a path to the user's id, such as a.id"])
        if max_age is not None and (type(max_age) is not int or max_age < 1):
            mistakes.add(["max_age: must be whole seconds, at least 1, or None where the application signs without a time"])
        if digest not in DIGESTS:
            mistakes.add([f"digest: must be one of {', '.join(sorted(DIGESTS))}"])
        if key_derivation not in DERIVATIONS:
            mistakes.add([f"key_derivation: must be one of {', '.join(DERIVATIONS)}"])
        mistakes.raise_any()
        self.cookies = (cookie,)
        self.lifetime = FOREVER if max_age is None else lifetime_of(max_age)
        self.max_age = max_age
        self._user = user.split(".")
        self._expires = expires.split(".") if expires else None
        keywords: Any = {"salt": salt, "signer_kwargs": {"digest_method": getattr(hashlib, digest), "key_derivation": key_derivation}}
        self._serializer = URLSafeSerializer(secret, **keywords) if max_age is None else None
        self._timed = URLSafeTimedSerializer(secret, **keywords)

    def __repr__(self) -> str:
        return f"SignedCookie(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | None:  # noqa: ARG002 - there is one cookie
        """Returns the user that this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the cookie does not have the form that itsdangerous writes")
        try:
            signed: Any = self._timed.loads(value, max_age=self.max_age) if self._serializer is None else self._serializer.loads(value)
        except BadData:  # its message quotes the signature
            raise InvalidCredential("the cookie is forged or expired") from None
        user = named_by(at_path(signed, self._user))
        return None if user is None else Identity(user_id=user, lifetime=self._left(signed))

    def _left(self, signed: Any) -> float | None:
        """Returns the seconds until the cookie expires, None if it does not. ``Identity`` refuses a time that is over."""
        expires = None if self._expires is None else at_path(signed, self._expires)
        if expires is None or expires == "" or expires is False:
            return None
        try:
            return float(_number(expires) if isinstance(expires, str) else expires) - time()
        except (TypeError, ValueError, OverflowError):
            raise InvalidCredential("the time in the cookie is not a number") from None


def _number(digits: str) -> int:
    number = 0
    for digit in digits[:16]:
        number = number * 62 + _BASE62.index(digit)
    return number
