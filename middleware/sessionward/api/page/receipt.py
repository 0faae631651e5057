"""What the page says after one of its forms: signed for the session that has sent it, and good for one minute.

The address of the page carries it. So a link on another site cannot make the page say that devices were signed out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Final, NamedTuple

from sessionward.credential.token import Credential

GOOD_FOR: Final = 60.0
"""Seconds."""
_MARK: Final = 18
"""Bytes of the signature: 24 characters of base64, without padding."""
_FORM: Final = re.compile(r"(one|others)-([0-9]{1,9})-([0-9]{1,12})-([A-Za-z0-9_-]{24})\Z")


class Receipt(NamedTuple):
    """What a form has revoked: how many sessions, and whether ``one`` or all ``others`` were asked for (``kind``)."""

    kind: str
    number: int


def signed(receipt: Receipt, credential: Credential, now: datetime) -> str:
    """Returns a receipt as the address of the page carries it. ``credential``: of the caller, who alone can read it."""
    said = f"{receipt.kind}-{receipt.number}-{int(now.timestamp())}"
    return f"{said}-{_mark(said, credential)}"


def read(text: str, credential: Credential, now: datetime) -> Receipt | None:
    """Returns the receipt in an address, or None if we have not signed it for this caller within a minute."""
    found = _FORM.match(text)
    if found is None or abs(now.timestamp() - int(found[3])) >= GOOD_FOR:
        return None
    said = text.rpartition("-" + found[4])[0]
    return Receipt(found[1], int(found[2])) if hmac.compare_digest(_mark(said, credential), found[4]) else None


def _mark(said: str, credential: Credential) -> str:
    """The digest of a credential is as secret as the credential, so it is a key that each worker has, without a setting."""
    mark = hmac.digest(credential.digest, b"sessionward.receipt.v1:" + said.encode(), hashlib.sha256)[:_MARK]
    return urlsafe_b64encode(mark).decode()
