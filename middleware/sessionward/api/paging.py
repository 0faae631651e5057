"""The pages of a list: how many sessions one has, and the token that names the next.

A token is the place of the last session of a page. The places never change: new sessions come before the first page, and revoked
ones vanish. So who follows the links meets each session once that lives all the time.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.session.session import Position, SessionList

DEFAULT_SIZE: Final = 250
MAX_SIZE: Final = 500


class InvalidPage(Exception):
    """The query names a page that there is not."""


class PageRequest(NamedTuple):
    """Which page of a list a client wants. ``size``: how many sessions it has; ``after``: behind which place; None: the first page."""

    size: int
    after: Position | None


def requested_page(query: bytes, credential: Credential) -> PageRequest:
    """Returns the page that a query names. Ignores other parameters.

    ``credential``: of the caller, who alone can use the tokens that it got. Raises :class:`InvalidPage`.
    """
    size, token = None, None
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name == "page_size":
            if size is not None or not (value.isascii() and value.isdigit() and len(value) <= len(str(MAX_SIZE))):
                raise InvalidPage
            size = int(value)
        elif name == "page_token":
            if token is not None:
                raise InvalidPage
            token = value
    if size is not None and not 1 <= size <= MAX_SIZE:
        raise InvalidPage
    return PageRequest(size or DEFAULT_SIZE, None if token is None else _position(token, credential))


def link_to(path: bytes, page: PageRequest, sessions: SessionList, credential: Credential) -> bytes:
    """Returns the Link field of a page (RFC 8288): to the first page, and to the next one if there are more sessions.

    ``path``: of the list. ``sessions``: those of the page, and one more if there is one.
    """
    first = b'<%s?page_size=%d>; rel="first"' % (path, page.size)
    token = next_token(page, sessions, credential)
    return first if token is None else first + b',<%s?page_size=%d&page_token=%s>; rel="next"' % (path, page.size, token)


def next_token(page: PageRequest, sessions: SessionList, credential: Credential) -> bytes | None:
    """Returns the token of the next page, or None if there is none. ``sessions``: as for :func:`link_to`."""
    return None if len(sessions) <= page.size else _token(Position.of(sessions[page.size - 1]), credential)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MARK: Final = 12
"""Bytes of the mark that proves that we made a token."""


def _token(position: Position, credential: Credential) -> bytes:
    at = -(2**63) if position.issued_at is None else (position.issued_at - _EPOCH) // _MICROSECOND
    place = at.to_bytes(8, signed=True) + position.id.bytes
    return urlsafe_b64encode(_mark(place, credential) + place)


def _position(token: str, credential: Credential) -> Position:
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
    except ValueError:
        raise InvalidPage from None
    mark, place = raw[:_MARK], raw[_MARK:]
    if len(place) != 24 or urlsafe_b64encode(raw).decode() != token or not hmac.compare_digest(mark, _mark(place, credential)):
        raise InvalidPage
    at = int.from_bytes(place[:8], signed=True)
    return Position(None if at == -(2**63) else _EPOCH + at * _MICROSECOND, UUID(bytes=place[8:]))


def _mark(place: bytes, credential: Credential) -> bytes:
    """The digest of a credential is as secret as the credential, so it is a key that each worker has, without a setting."""
    return hmac.digest(credential.digest, b"sessionward.page.v1:" + place, hashlib.sha256)[:_MARK]
