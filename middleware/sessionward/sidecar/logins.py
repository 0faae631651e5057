"""What the answer of an upstream says of signing in: whom it names, and whether we believe it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from sessionward.sidecar.client.request import Request
from sessionward.sidecar.upstream.answer import Answer

log = logging.getLogger("sessionward")

_LOGIN: Final = re.compile(rb"((?:[A-Za-z0-9\-._~!*'()@]|%[0-9A-Fa-f]{2})+); proof=([A-Za-z0-9_-]{22})")
"""The grammar of Session-Login (CONTRACT.md 7)."""


@dataclass(frozen=True, slots=True)
class Impossible:
    """What the upstream says of a login cannot be done."""

    reason: str


class Logins:
    """Reads ``Session-Login`` and ``Session-Logout``. ``refused``: is called for each sign-in that we do not believe."""

    def __init__(self, refused: Callable[[], None] | None) -> None:
        self._refused = refused

    def announced(self, answer: Answer, request: Request, proof: bytes) -> str | Impossible | None:
        """Returns the user whom an answer signs in, or None.

        ``proof``: the X-Session-Proof of this request, empty on paths where the upstream cannot sign users in.
        """
        logins: Sequence[bytes] = answer.logins
        if len(logins) + len(answer.logouts) > 1:
            return Impossible("the answer has Session-Login or Session-Logout more than once, or both")
        if answer.logouts and answer.logouts[0].strip() != b"1":
            return Impossible("Session-Logout must be 1")
        if not logins:
            return None
        parts = _LOGIN.fullmatch(logins[0])
        if not proof or (parts is None and b"proof=" not in logins[0]):
            self._refuse(request, has_path=bool(proof))
            return None
        if parts is None:
            return Impossible("Session-Login must be: user id, percent-encoded, then '; proof=' and the X-Session-Proof of the request")
        if parts[2] != proof:
            self._refuse(request, has_path=True)
            return None
        try:
            return unquote_to_bytes(parts[1]).decode()
        except UnicodeDecodeError:
            return Impossible("Session-Login must name the user in percent-encoded UTF-8")

    def _refuse(self, request: Request, *, has_path: bool) -> None:
        if self._refused is not None:
            self._refused()
        path = request.path[:200].decode("ascii", "replace")
        if has_path:
            log.warning(
                "%s: the upstream signs a user in without the proof of this request, so the sign-in is ignored; answer with"
                " 'Session-Login: <user>; proof=<the X-Session-Proof of the request>' (request %s)", path, request.id,
            )  # fmt: skip
        else:
            log.warning(
                "%s: the upstream signs a user in here, but this is no login path, so the sign-in is ignored; set --login-path"
                " (request %s)", path, request.id,
            )  # fmt: skip
