"""The ticket of a sign-in over several requests, which is the user's generation, signed for this user (P3 b)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sessionward.credential.token import Signature
from sessionward.errors import StaleLogin, UsageError
from sessionward.settings.limits import AtLimit

_FORM: Final = re.compile(r"([0-9]{1,40})(-revoke)?")


class Ticket(NamedTuple):
    """What a ticket says. ``generation``: the user's, when it was signed.

    ``at_limit``: what the sign-in does beyond ``max_sessions``, whatever the setting is; None: what the setting says.
    """

    generation: int
    at_limit: AtLimit | None = None


def sign_ticket(signature: Signature, user_id: str, ticket: Ticket) -> str:
    """Returns ``generation.signature``, or ``generation-revoke.signature`` for a sign-in that revokes sessions at the limit.

    The signature also covers the user's id, which is not in the ticket.
    """
    said = f"{ticket.generation}-revoke" if ticket.at_limit is AtLimit.REVOKE else f"{ticket.generation}"
    signed = signature.sign(f"{said}.{user_id}".encode())
    return f"{said}.{signed.rpartition(b'.')[2].decode()}"


def read_ticket(signature: Signature, user_id: str, ticket: object) -> Ticket:
    """Returns what a ticket says. Raises :class:`StaleLogin` if we did not sign it for this user."""
    if not isinstance(ticket, str):
        raise UsageError(f"ticket must be a str that begin_login() returned, not {type(ticket).__name__}")
    said, _, signed = ticket.partition(".")
    value = f"{said}.{user_id}".encode("utf-8", "replace")
    form = _FORM.fullmatch(said)
    # We sign again and compare, and never split the signed value: a user's id may contain dots.
    if form is None or not signature.verifies(value, value + b"." + signed.encode("utf-8", "replace")):
        raise StaleLogin("the ticket was not signed for this user; start the sign-in again with begin_login()")
    return Ticket(int(form[1]), AtLimit.REVOKE if form[2] else None)
