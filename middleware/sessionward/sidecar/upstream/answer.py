"""Reads one answer of the upstream, as strictly as a request: what breaks the rules of HTTP is no answer."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import httptools

from sessionward.sidecar.client.response import BODILESS, SWITCHING
from sessionward.sidecar.errors import Invalid, UpstreamError
from sessionward.sidecar.upstream.headers import RESPONSE_KINDS, Kind, signs_in_connection

MAX_HEAD: Final = 65_536
"""Bytes of the head of an answer, and of its trailers."""
MAX_FIELDS: Final = 200
MAX_INFORMATIONAL: Final = 16
"""1xx answers before the final one."""

# Looking up a member of an enum costs 50 ns.
_PASSES, _DROPPED, _LENGTH, _DATE, _CODING, _CONNECTION = (
    Kind.PASSES, Kind.DROPPED, Kind.LENGTH, Kind.DATE, Kind.CODING, Kind.CONNECTION,
)  # fmt: skip
_VERSIONS: Final = ("1.1", "1.0")
_KEPT: Final = frozenset({b"keep-alive", b"close", b"content-length", b"set-cookie", b"content-type", b"content-encoding", b"location"})
"""What the Connection field of an answer cannot remove."""


class Ends(enum.Enum):
    """How the body of an answer ends (RFC 9112, 6.3)."""

    LENGTH = enum.auto()
    CHUNKS = enum.auto()
    CONNECTION = enum.auto()
    NO_BODY = enum.auto()  # HEAD, 204, 304: some servers send a body all the same
    UPGRADE = enum.auto()


_ENDS_BY_LENGTH, _ENDS_BY_CHUNKS = Ends.LENGTH, Ends.CHUNKS


class Answer:
    """The head of an answer. ``fields`` are for the client.

    ``length``: of Content-Length; None if the body is chunked, or ends with the connection. ``logins``, ``logouts``: the values
    of Session-Login and Session-Logout. ``has_date``: whether ``fields`` has Date. ``signs_in_connection``: whether the upstream
    authenticates connections (NTLM).
    """

    # Defaults on the class cost nothing for the answers that keep them.
    status = 0
    reason = upgrade = b""
    length: int | None = None
    ends = _ENDS_BY_LENGTH
    logins: Sequence[bytes] = ()
    logouts: Sequence[bytes] = ()
    chunked = has_date = signs_in_connection = False

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []


class AnswerReader:
    """Reads the answers on one connection. :meth:`begin` precedes each.

    Each call of :meth:`read` sets ``head`` (an answer whose head has just ended, else None) and ``body`` (bytes of its body).
    ``is_whole``: the answer has ended. ``may_continue``: the upstream has said 100.
    """

    __slots__ = (
        "_answer", "_body", "_draft", "_has_latest", "_informational", "_method", "_parser", "_size", "_tokens", "_upgrades", "body",
        "head", "is_whole", "keeps_alive", "may_continue",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._draft = Answer()
        self._answer: Answer | None = None
        self.head: Answer | None = None
        self._tokens: set[bytes] | None = None
        self._has_latest = False
        """Whether the bytes of this read begin as an answer of HTTP/1.1 does: the parser needs 0.3 us to say so."""
        self.begin(b"", b"")

    def begin(self, method: bytes, upgrades: bytes) -> None:
        """Prepares for the answer to a request. ``upgrades``: the protocol that it may switch to."""
        self._method = method
        self._upgrades = upgrades
        self._answer = self.head = None
        self._size = self._informational = 0
        self.body = b""
        self.is_whole = self.may_continue = self.keeps_alive = False

    def read(self, data: bytes) -> None:
        """Reads bytes. Raises :class:`~sessionward.sidecar.errors.Invalid`."""
        self.head, self.body = None, b""
        self._has_latest = not self._size and data.startswith(b"HTTP/1.1 ")
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._body.append(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            raise (cause if isinstance(cause, UpstreamError) else Invalid("the answer cannot be parsed")) from None
        except httptools.HttpParserError:
            raise Invalid("the answer cannot be parsed") from None
        finally:
            parts = self._body
            if parts:
                self.body = parts[0] if len(parts) == 1 else b"".join(parts)
                parts.clear()
                self._size = 0
        if self._size > MAX_HEAD and not self.is_whole and (self._answer is None or self._answer.chunked):
            raise Invalid("the head of the answer is too long" if self._answer is None else "the answer has trailers without an end")

    def end_of_connection(self) -> bool:
        """Returns whether the end of the connection makes the answer whole."""
        if self._answer is not None and self._answer.ends is Ends.CONNECTION:
            self.is_whole = True
        return self.is_whole

    # --- what the parser finds ---

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise Invalid("the upstream has sent more than one answer")
        self._draft, self._tokens = Answer(), None

    def on_status(self, reason: bytes) -> None:
        self._draft.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is not None:  # a trailer
            return
        kind = RESPONSE_KINDS[name]
        if kind is _PASSES:
            self._draft.fields.append((name, value))
        elif kind is _DATE:
            self._draft.has_date = True
            self._draft.fields.append((name, value))
        elif kind is not _DROPPED:
            self._read(kind, name, value)

    def _read(self, kind: Kind, name: bytes, value: bytes) -> None:
        draft = self._draft
        value = value.strip(b" \t")  # llhttp keeps the blanks at the end
        if kind is _LENGTH:
            if not value.isdigit() or draft.length is not None:
                raise Invalid("the answer does not have exactly one Content-Length")
            draft.length = int(value)
            draft.fields.append((name, value))
        elif kind is _CODING:
            if draft.chunked or value.lower() != b"chunked":
                raise Invalid("the answer has a Transfer-Encoding other than chunked")
            draft.chunked = True
        elif kind is _CONNECTION:
            self._tokens = {*(self._tokens or ()), *(token.strip(b" \t").lower() for token in value.split(b","))}
        elif kind is Kind.LOGIN:
            draft.logins = [*draft.logins, value]
        elif kind is Kind.LOGOUT:
            draft.logouts = [*draft.logouts, value]
        elif kind is Kind.UPGRADE:
            draft.upgrade += value.lower()
        elif kind is Kind.AUTHENTICATE:
            draft.signs_in_connection = draft.signs_in_connection or signs_in_connection(value)
            draft.fields.append((name, value))

    def on_headers_complete(self) -> None:
        draft, parser = self._draft, self._parser
        if len(draft.fields) > MAX_FIELDS:
            raise Invalid("the answer has too many header fields")
        draft.status = status = parser.get_status_code()
        if not (self._has_latest and not self._informational) and parser.get_http_version() not in _VERSIONS:
            raise Invalid("the upstream speaks another version of HTTP")
        if status < 200:
            self._inform(draft)
            return
        if draft.chunked and draft.length is not None:
            raise Invalid("the answer has both a length and a Transfer-Encoding")
        if self._tokens:
            named = self._tokens - _KEPT
            if named:
                draft.fields = [field for field in draft.fields if field[0].lower() not in named]
        self.keeps_alive = parser.should_keep_alive()
        if status == 204 and draft.length is not None:  # which has none (RFC 9110, 8.6); a reader could wait for that body
            draft.fields = [field for field in draft.fields if field[0].lower() != b"content-length"]
        if status in BODILESS or self._method == b"HEAD":
            draft.ends = Ends.NO_BODY
            self.is_whole = True  # llhttp does not know the method, and would wait for the body of an answer to HEAD
        elif draft.chunked:
            draft.ends = _ENDS_BY_CHUNKS
        elif draft.length is None:
            draft.ends = Ends.CONNECTION
        self._answer = self.head = draft

    def _inform(self, draft: Answer) -> None:
        """Reads an answer before the final one."""
        if draft.status < 100:
            raise Invalid("the answer has no status")
        if draft.length or draft.chunked:
            raise Invalid("an informational answer has a body")
        if draft.status == SWITCHING:
            if not self._upgrades or draft.upgrade != self._upgrades or b"upgrade" not in (self._tokens or ()):
                raise Invalid("the upstream has switched protocols without a request for it")
            draft.ends = Ends.UPGRADE
            self._answer = self.head = draft
            self.is_whole = True
            return
        self._informational += 1
        self.may_continue = self.may_continue or draft.status == 100
        if self._informational > MAX_INFORMATIONAL:
            raise Invalid("the upstream has sent too many informational answers")

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        if answer is None or self.is_whole:
            raise Invalid("the answer has a body where it must have none")
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self.is_whole = True
