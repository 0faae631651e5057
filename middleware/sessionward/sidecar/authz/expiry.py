"""Says until when nginx may trust an answer to a check, in the field ``X-Accel-Expires``.

A caching proxy on the same machine is a worker too: it trusts an answer no longer than this worker does (CONTRACT.md 5). The field
holds a time of the wall clock, which both read. If that clock is set back, nginx trusts an answer for as much longer. An answer that
depends on an identifier is never kept: a lease says nothing about the application's login.
"""

from __future__ import annotations

from math import floor
from typing import Final

from sessionward.credential.token import Credential
from sessionward.lease import NoLeases
from sessionward.response.answer import Response

FIELD: Final = b"x-accel-expires"
NEVER: Final = b"0"
"""The answer must be asked for anew."""


def expires(leases: NoLeases, credential: Credential | None, now: float) -> bytes:
    """Returns the value of the field for the answer that names a live session. ``now``: seconds since 1970, read before this call.

    nginx rounds its clock down to whole seconds, and takes an answer that expires in the present one: it trusts one of ``@9`` until
    10.0. So the time is a second earlier than ours. An assertion in the answer lives longer than any lease.
    """
    left = 0.0 if credential is None else leases.trusted_for(credential.digest)
    last = floor(now + left) - 1
    return b"@%d" % last if last >= floor(now) else NEVER


def with_expiry(answer: Response, value: bytes) -> Response:
    """Returns the answer with the field. It comes first: nginx before 1.23 does not keep an answer with an earlier ``no-store``."""
    return Response(answer.status, [(FIELD, value), *answer.headers], answer.body)
