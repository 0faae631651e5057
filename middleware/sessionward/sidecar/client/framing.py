"""What the fields and the target of a request say about it, and what is refused for what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sessionward.sidecar.client.request import Request
from sessionward.sidecar.errors import SidecarProblem

READ_HERE: Final = frozenset({b"host", b"transfer-encoding", b"content-length", b"upgrade", b"expect", b"authorization"})
"""Fields that frame a request, or say something about its connection."""
PLAIN_TARGET: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
"""A path: visible ASCII without ``#``, since a fragment does not belong into a request (RFC 9112, 3.2)."""
MAX_DIGITS: Final = 20
"""Of a Content-Length: as many as 2 ** 64 has."""
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)([\x21\x22\x24-\x7e]*)", re.IGNORECASE)
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class Refused(Exception):
    """A request that we do not accept."""

    def __init__(self, problem: SidecarProblem, bound: str = "") -> None:
        super().__init__(problem.id)
        self.problem = problem
        self.bound = bound


def read_fields(request: Request, places: Sequence[int]) -> tuple[int, bytes]:
    """Reads the fields that frame a request, which llhttp has checked for contradictions. Raises :class:`Refused`.

    ``places``: where the fields of :data:`READ_HERE` are. Returns the place of Host, or -1, and the protocol of Upgrade.
    """
    host, upgrade = -1, b""
    for place in places:
        name, value = request.fields[place]
        if name == b"host":
            if host >= 0 or not _HOST.fullmatch(value):
                raise Refused(SidecarProblem.BAD_HOST)
            host = place
        elif name == b"authorization":
            request.authorization = value if request.authorization is None else request.authorization + b", " + value
        elif name == b"transfer-encoding":
            if request.version == "1.0":
                raise Refused(SidecarProblem.BAD_REQUEST)
            if value.lower() != b"chunked":
                raise Refused(SidecarProblem.CODING)
            request.is_chunked = request.has_body = True
        elif name == b"content-length":
            if len(value) > MAX_DIGITS:  # llhttp accepts zeros without end, and int() does not
                raise Refused(SidecarProblem.BAD_REQUEST)
            request.length = int(value)
            request.has_body = request.has_body or request.length > 0
        elif name == b"upgrade":
            upgrade += value.lower()
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise Refused(SidecarProblem.EXPECTATION)
            request.expects = request.version == "1.1"
    if host < 0 and request.version == "1.1":
        raise Refused(SidecarProblem.BAD_HOST)
    return host, upgrade


def read_target(request: Request, host: int) -> None:
    """Reads a target that is not :data:`PLAIN_TARGET`. Raises :class:`Refused`. ``host``: the place of Host among the fields, or -1."""
    if request.target == b"*" and request.method == b"OPTIONS":
        return
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None or not absolute[1] or not _HOST.fullmatch(absolute[1]):
        raise Refused(SidecarProblem.BAD_TARGET)
    field = (b"host", absolute[1])  # which takes precedence over the field (RFC 9112, 3.2.2)
    if host < 0:
        request.fields.append(field)
    else:
        request.fields[host] = field
    rest = absolute[2]
    request.target = rest if rest[:1] == b"/" else b"/" + rest
    request.path = request.target.partition(b"?")[0]
