"""Turns the bytes of a client into requests, one at a time, and refuses what two servers could read in two ways.

llhttp (httptools) decides about the framing. It parses on behind the end of a request, and does not say where that end is. So
we give it pieces that end where a request can end: at an empty line, or at the last byte of a body of known length.
"""

from __future__ import annotations

import logging
import re
from time import monotonic
from typing import Final

import httptools

from sessionward.credential.carriers import BLANKS
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem

log = logging.getLogger("sessionward")

MAX_TARGET: Final = 8_192
"""Bytes."""
MAX_HEAD: Final = 65_536
"""Bytes of a request's head."""
MAX_FIELDS: Final = 128
MAX_BETWEEN_CHUNKS: Final = 16_384
"""Bytes of chunk extensions and trailers without a byte of the body between them."""

_VERSIONS: Final = ("1.1", "1.0")
_REFUSED_METHODS: Final = (b"CONNECT", b"TRACE")
_END: Final = b"\r\n\r\n"
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e]+")
"""Visible ASCII without ``#``: a fragment does not belong into a request (RFC 9112, 3.2)."""
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_REQUEST_LINE: Final = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) +([^ \r\n]+) ")
"""The method and the target, whatever they are."""
_COULD_BECOME_ONE: Final = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?: +[^ \r\n]*)?")

_READ_HERE: Final = frozenset({b"host", b"transfer-encoding", b"content-length", b"upgrade", b"expect", b"authorization"})
"""Fields that frame a request, or say something about its connection."""
_REST: Final = b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n"
"""A head for the parser alone, after it has stopped at an upgrade that we do not make, so that it goes on with the body."""


class Refused(Exception):
    """A request that we do not accept."""

    def __init__(self, problem: SidecarProblem, bound: str = "") -> None:
        super().__init__(problem.id)
        self.problem = problem
        self.bound = bound


class RequestReader:
    """Reads the requests of one connection.

    Each call of :meth:`read` sets ``head`` (a request whose head has just ended, else None), ``body`` (bytes of its body) and
    ``is_whole`` (whether the request has ended with this call).
    """

    __slots__ = (
        "_body", "_fields", "_host", "_in_body", "_is_chunked", "_is_muted", "_is_unknown", "_left", "_parser", "_places", "_seen", "_size",
        "_tail", "_url", "body", "head", "is_whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._is_muted = False
        self.head: Request | None = None
        self.body = b""
        self._begin()

    def _begin(self) -> None:
        self.is_whole = False
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._places: list[int] = []
        self._host = -1
        self._size = 0
        self._tail = b""
        self._seen = b""
        self._in_body = self._is_chunked = self._is_unknown = False
        self._left = 0

    @property
    def is_in_head(self) -> bool:
        """Whether a part of a head has come. The empty lines before it are none: some clients send one behind a body."""
        return not self._in_body and bool(self._seen.strip(b"\r\n"))

    def as_far_as_known(self, peer: str | None) -> Request | None:
        """Returns what is known of a request that cannot be read, for the log, or None."""
        line = _REQUEST_LINE.match(self._seen)
        if line is None:
            return None
        request = Request(line[1], line[2], [], "1.1")
        request.peer = peer
        return request

    def read(self, data: bytes) -> bytes:
        """Reads a head, or a body as far as it has come. Returns the bytes behind it. Raises :class:`Refused`."""
        self.head, self.body = None, b""
        if self.is_whole:
            self._begin()
        at, size = 0, len(data)
        while at < size and self.head is None and not self.is_whole:
            if self._is_unknown:
                self._refuse_unknown(data[at:])
                return b""
            at = self._read_piece(data, at)
        if self._body:
            self.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body.clear()
        return data[at:]

    def _read_piece(self, data: bytes, at: int) -> int:
        """Reads the piece that begins at this place, and returns the place behind it."""
        end = min(at + self._left, len(data)) if self._left else self._end_in(data, at)
        piece = data[at:end]
        parts = len(self._body)
        if not self._size:
            self._seen = piece
        elif not self._in_body and len(self._seen) < MAX_TARGET:
            self._seen += piece
        self._size += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._go_on_without_upgrade()
        except httptools.HttpParserInvalidMethodError:
            self._is_unknown = True
            self._refuse_unknown(b"")
        except httptools.HttpParserError as error:
            raise _refusal_for(error) from None
        if self._in_body and self.head is None:
            if self._left:
                self._left -= len(piece)
            elif self._is_chunked:
                self._size = 0 if len(self._body) > parts else self._size
                if self._size > MAX_BETWEEN_CHUNKS:
                    raise Refused(SidecarProblem.HEAD_TOO_LARGE, "trailers")
        elif self._size > MAX_HEAD:
            raise Refused(SidecarProblem.TARGET_TOO_LONG if len(self._url) > MAX_TARGET else SidecarProblem.HEAD_TOO_LARGE, "head_size")
        return end

    def _end_in(self, data: bytes, begin: int) -> int:
        """Returns where the first empty line behind ``begin`` ends, or the end of the data. It may have begun in the piece before."""
        tail = self._tail
        if tail:
            at = (tail + data[begin : begin + 3]).find(_END)
            if at >= 0:
                self._tail = b""
                return begin + at + 4 - len(tail)
        at = data.find(_END, begin)
        if at >= 0:
            self._tail = b""
            return at + 4
        self._tail = (tail + data[begin:])[-3:] if len(data) - begin < 3 else data[-3:]
        return len(data)

    def _refuse_unknown(self, data: bytes) -> None:
        """Refuses a request whose method llhttp does not know, as soon as its first line shows whether it is one."""
        self._seen += data
        line = _REQUEST_LINE.match(self._seen)
        if line is not None and line[1] != b"PRI":  # with which HTTP/2 begins
            raise Refused(SidecarProblem.METHOD_UNKNOWN)
        if line is not None or len(self._seen) > MAX_TARGET or not _COULD_BECOME_ONE.fullmatch(self._seen):
            raise Refused(SidecarProblem.BAD_REQUEST)

    def _go_on_without_upgrade(self) -> None:
        """Continues behind a head that asks for an upgrade: the parser has stopped there, and skips the body."""
        request = self.head
        assert request is not None
        self._parser = httptools.HttpRequestParser(self)
        self.is_whole = not request.has_body
        if request.has_body:
            framing = b"transfer-encoding: chunked" if request.is_chunked else b"content-length: %d" % (request.length or 0)
            self._is_muted = True
            self._parser.feed_data(_REST % framing)
            self._is_muted = False

    # --- what the parser finds ---

    def on_message_begin(self) -> None:
        if self.is_whole:  # a piece ends where its request ends, so this cannot be; if it is, the framing is in doubt
            raise Refused(SidecarProblem.BAD_REQUEST)

    def on_url(self, url: bytes) -> None:
        if self._is_muted:
            return
        self._url += url
        if len(self._url) > MAX_TARGET:
            raise Refused(SidecarProblem.TARGET_TOO_LONG, "head_size")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer, or the parser's own head
            return
        name = name.lower()
        if name in _READ_HERE:
            self._places.append(len(self._fields))
        self._fields.append((name, value.strip(BLANKS)))

    def on_headers_complete(self) -> None:
        if self._is_muted:
            return
        if len(self._fields) > MAX_FIELDS:
            raise Refused(SidecarProblem.HEAD_TOO_LARGE, "head_size")
        parser = self._parser
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise Refused(SidecarProblem.VERSION)
        method = parser.get_method()
        if method in _REFUSED_METHODS:
            raise Refused(SidecarProblem.METHOD)
        request = Request(method, self._url, self._fields, version)
        upgrade = self._read_fields(request)
        self._read_target(request)
        request.keeps_alive = version == "1.1" and parser.should_keep_alive()
        request.wants_websocket = (
            upgrade == b"websocket" and method == b"GET" and version == "1.1" and parser.should_upgrade() and not request.has_body
        )  # fmt: skip
        request.began = monotonic()
        self.head = request
        self._in_body = True
        self._size = 0 if request.is_chunked else self._size
        self._is_chunked = request.is_chunked
        self._left = request.length or 0

    def _read_fields(self, request: Request) -> bytes:
        """Reads the fields that frame a request, which llhttp has checked for contradictions. Returns the protocol of Upgrade."""
        upgrade = b""
        for place in self._places:
            name, value = self._fields[place]
            if name == b"host":
                if self._host >= 0 or not _HOST.fullmatch(value):
                    raise Refused(SidecarProblem.BAD_HOST)
                self._host = place
            elif name == b"transfer-encoding":
                if request.version == "1.0":
                    raise Refused(SidecarProblem.BAD_REQUEST)
                if value.lower() != b"chunked":
                    raise Refused(SidecarProblem.CODING)
                request.is_chunked = request.has_body = True
            elif name == b"content-length":
                request.length = int(value)
                request.has_body = request.has_body or request.length > 0
            elif name == b"upgrade":
                upgrade += value.lower()
            elif name == b"authorization":
                request.authorization = value if request.authorization is None else request.authorization + b", " + value
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    raise Refused(SidecarProblem.EXPECTATION)
                request.expects = request.version == "1.1"
        if self._host < 0 and request.version == "1.1":
            raise Refused(SidecarProblem.BAD_HOST)
        return upgrade

    def _read_target(self, request: Request) -> None:
        target = request.target
        if not _TARGET.fullmatch(target):
            raise Refused(SidecarProblem.BAD_TARGET)
        if target[:1] == b"/" or (target == b"*" and request.method == b"OPTIONS"):
            return
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1] or not _HOST.fullmatch(absolute[1]):
            raise Refused(SidecarProblem.BAD_TARGET)
        host = (b"host", absolute[1])  # which takes precedence over the field (RFC 9112, 3.2.2)
        if self._host < 0:
            self._fields.append(host)
        else:
            self._fields[self._host] = host
        rest = absolute[2]
        request.target = rest if rest[:1] == b"/" else b"/" + rest
        request.path = request.target.partition(b"?")[0]

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._is_muted:
            self.is_whole = True


def _refusal_for(error: httptools.HttpParserError) -> Refused:
    """Returns the refusal for an error of the parser, or the one that a callback has raised inside of it."""
    if isinstance(error, httptools.HttpParserCallbackError):
        cause = error.__context__
        if isinstance(cause, Refused):
            return cause
        log.error("a request could not be read", exc_info=cause)
    return Refused(SidecarProblem.BAD_REQUEST)
