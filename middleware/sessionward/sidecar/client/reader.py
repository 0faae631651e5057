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
from sessionward.sidecar.client.framing import PLAIN_TARGET, READ_HERE, Refused, read_fields, read_target
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.section import MAX_KEPT, Section
from sessionward.sidecar.errors import SidecarProblem

log = logging.getLogger("sessionward")

MAX_TARGET: Final = 8_192
"""Bytes."""
MAX_HEAD: Final = 65_536
"""Bytes of a request's head."""
MAX_FIELDS: Final = 128
MAX_BETWEEN_CHUNKS: Final = 16_384
"""Bytes of chunk extensions and trailers without a byte of the body between them."""
MAX_PIECES: Final = 256
"""Pieces of one read: a body of chunks is cut at each empty line, and a client can send nothing but those."""

_VERSIONS: Final = ("1.1", "1.0")
_REFUSED_METHODS: Final = (b"CONNECT", b"TRACE")
_END: Final = b"\r\n\r\n"
_REQUEST_LINE: Final = re.compile(rb"(?:\r\n)*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) +([^ \r\n]+) ")
"""The method and the target, whatever they are."""
_COULD_BECOME_ONE: Final = re.compile(rb"(?:\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}(?: +[^ \r\n]*)?")

_REST: Final = b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n"
"""A head for the parser alone, after it has stopped at an upgrade that we do not make, so that it goes on with the body."""


class _Again:
    """The callbacks of a parser that need not tell the fields."""

    def __init__(self, reader: RequestReader) -> None:
        self.on_url = reader.on_url
        self.on_headers_complete = reader.on_known_headers
        self.on_message_complete = reader.on_message_complete


class RequestReader:
    """Reads the requests of one connection.

    Each call of :meth:`read` sets ``head`` (a request whose head has just ended, else None), ``body`` (bytes of its body) and
    ``is_whole`` (whether the request has ended with this call).
    """

    __slots__ = (
        "_again", "_body", "_fields", "_in_body", "_is_chunked", "_is_muted", "_is_unknown", "_left", "_line", "_parser",
        "_places", "_section", "_seen", "_size", "_tail", "_url", "body", "head", "is_spent", "is_whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._again: httptools.HttpRequestParser | None = None
        """Parses the heads whose fields we know already, so it does not tell us the fields."""
        self._section: Section | None = None
        """The header section of the last request, if the next one may have the same."""
        self._body: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._places: list[int] = []
        """The places of the fields that are read here."""
        self.head: Request | None = None
        self.body = self._url = self._tail = self._seen = b""
        self._size = self._left = self._line = 0
        self.is_spent = False
        """Whether the last read has handed the parser as many pieces as it may."""
        self.is_whole = self._in_body = self._is_chunked = self._is_muted = self._is_unknown = False

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
        self.head, self.body, self.is_spent = None, b"", False
        if self.is_whole:
            self.is_whole = self._in_body = False
            self._size = 0
        size = len(data)
        if not self._size and not self._in_body and data.find(_END) == size - 4 >= 0:  # one head in one piece, as most requests are
            self._line = line = data.find(b"\n") + 1
            section = self._section
            self._feed(self._parser if section is None or not data.startswith(section.raw, line) else self._parser_again(), data)
            self._line = 0
            return b""
        at = pieces = 0
        while at < size and self.head is None and not self.is_whole and not self.is_spent:
            if self._is_unknown:
                self._refuse_unknown(data[at:])
                return b""
            end = min(at + self._left, size) if self._left else self._end_in(data, at)
            self._feed(self._parser, data[at:end])
            at, pieces = end, pieces + 1
            self.is_spent = pieces == MAX_PIECES
        if self._body:
            self.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body.clear()
        return data[at:]

    def _parser_again(self) -> httptools.HttpRequestParser:
        """Returns the parser for a head whose section is the kept one."""
        again = self._again
        if again is None:
            again = self._again = httptools.HttpRequestParser(_Again(self))
        return again

    def _feed(self, parser: httptools.HttpRequestParser, piece: bytes) -> None:
        """Hands one piece to a parser."""
        if not self._size:
            self._seen = piece
        elif not self._in_body and len(self._seen) < MAX_TARGET:
            self._seen += piece
        self._size += len(piece)
        parts = len(self._body)
        try:
            parser.feed_data(piece)
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
        self._fields, self._places = [], []

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
        if name in READ_HERE:
            self._places.append(len(self._fields))
        self._fields.append((name, value.strip(BLANKS)))

    def on_headers_complete(self) -> None:
        if self._is_muted:
            return
        if len(self._fields) > MAX_FIELDS:
            raise Refused(SidecarProblem.HEAD_TOO_LARGE, "head_size")
        request = self._request(self._parser, self._fields)
        host, upgrade = read_fields(request, self._places)
        self._section = None
        if not PLAIN_TARGET.fullmatch(request.target):
            read_target(request, host)
        elif self._line and host >= 0 and self._seen[:1] not in (b"\r", b"\n"):  # else the first line is empty
            self._keep(request)
        if upgrade == b"websocket":
            request.wants_websocket = (
                request.method == b"GET" and request.version == "1.1" and self._parser.should_upgrade() and not request.has_body
            )
        self.head = request
        self._in_body = True
        if request.has_body:
            self._size = 0 if request.is_chunked else self._size
            self._is_chunked = request.is_chunked
            self._left = request.length or 0

    def _keep(self, request: Request) -> None:
        """Keeps the header section of a request for the next one, if it is small, frames no body and asks for no upgrade."""
        raw = self._seen[self._line :]
        if len(self._places) == 1 + (request.authorization is not None) and len(raw) <= MAX_KEPT:
            self._section = request.section = Section(raw, self._fields, request.authorization)

    def on_known_headers(self) -> None:
        """Makes the request of a head whose fields are those of the kept section. They frame no body, and name the host."""
        parser, section = self._again, self._section
        assert parser is not None
        assert section is not None
        request = self._request(parser, section.fields)
        request.authorization = section.authorization
        if PLAIN_TARGET.fullmatch(request.target):
            request.section = section
        else:
            request.fields = [*section.fields]
            read_target(request, next(place for place, field in enumerate(section.fields) if field[0] == b"host"))
        self.head = request
        self._in_body = True

    def _request(self, parser: httptools.HttpRequestParser, fields: list[tuple[bytes, bytes]]) -> Request:
        """Returns the request of a head that llhttp has accepted."""
        if self._in_body:  # a piece ends where its request ends, so this cannot be
            raise Refused(SidecarProblem.BAD_REQUEST)
        line = self._line
        is_latest = self._seen[line - 11 : line] == b" HTTP/1.1\r\n"  # the other way costs 0.6 us
        version = "1.1" if is_latest else parser.get_http_version()
        # llhttp also reads HTTP/0.9, whose line has no version, RTSP and ICE.
        if version not in _VERSIONS or not (is_latest or b" HTTP/" in self._seen.lstrip(b"\r\n").partition(b"\n")[0]):
            raise Refused(SidecarProblem.VERSION)
        method = parser.get_method()
        if method in _REFUSED_METHODS:
            raise Refused(SidecarProblem.METHOD)
        request = Request(method, self._url, fields, version)
        self._url = b""
        request.keeps_alive = version == "1.1" and parser.should_keep_alive()
        request.began = monotonic()
        return request

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
