"""The ticket of a sign-in over several requests: a user's generation, signed for this user (P3 b)."""

from __future__ import annotations

from sessionward.credential.token import Signature
from sessionward.errors import StaleLogin, UsageError


def sign_ticket(signature: Signature, user_id: str, generation: int) -> str:
    """``generation.signature``. The signature also covers the user's id, which the ticket does not show."""
    signed = signature.sign(f"{generation}.{user_id}".encode())
    return f"{generation}.{signed.rpartition(b'.')[2].decode()}"


def read_ticket(signature: Signature, user_id: str, ticket: object) -> int:
    """The generation in a ticket. Raises :class:`StaleLogin` if it was not signed for this user: never taken for fresh."""
    if not isinstance(ticket, str):
        raise UsageError(f"ticket must be a str that begin_login() returned, not {type(ticket).__name__}")
    generation, _, signed = ticket.partition(".")
    value = f"{generation}.{user_id}".encode("utf-8", "replace")
    # Signed again and compared, never cut apart: a user's id may have dots in it as well.
    if not generation.isdecimal() or not signature.verifies(value, value + b"." + signed.encode("utf-8", "replace")):
        raise StaleLogin("the ticket was not signed for this user; begin the sign-in anew")
    return int(generation)
