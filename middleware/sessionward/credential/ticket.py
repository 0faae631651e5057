"""The ticket of a sign-in over several requests, which is the user's generation, signed for this user (P3 b)."""

from __future__ import annotations

from sessionward.credential.token import Signature
from sessionward.errors import StaleLogin, UsageError


def sign_ticket(signature: Signature, user_id: str, generation: int) -> str:
    """Returns ``generation.signature``. The signature also covers the user's id, which is not in the ticket."""
    signed = signature.sign(f"{generation}.{user_id}".encode())
    return f"{generation}.{signed.rpartition(b'.')[2].decode()}"


def read_ticket(signature: Signature, user_id: str, ticket: object) -> int:
    """Returns the generation in a ticket. Raises :class:`StaleLogin` if we did not sign it for this user."""
    if not isinstance(ticket, str):
        raise UsageError(f"ticket must be a str that begin_login() returned, not {type(ticket).__name__}")
    generation, _, signed = ticket.partition(".")
    value = f"{generation}.{user_id}".encode("utf-8", "replace")
    # We sign again and compare, and never split the signed value: a user's id may contain dots.
    if not generation.isdecimal() or not signature.verifies(value, value + b"." + signed.encode("utf-8", "replace")):
        raise StaleLogin("the ticket was not signed for this user; start the sign-in again with begin_login()")
    return int(generation)
