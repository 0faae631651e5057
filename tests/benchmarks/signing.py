"""Sessions to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sessionward.backends import Credential, Device, NewSession
from sessionward.credential.token import new_token


def sign_in(user: str, token: str) -> NewSession:
    """A login like that of a browser, younger than any revocation."""
    return NewSession(
        user_id=user,
        digest=Credential(token.encode()).digest,
        lifetime=86_400.0,
        age=lambda: -1.0,
        device=Device(ip_address="127.0.0.1", user_agent="Mozilla/5.0"),
        methods=("password",),
    )


def select_of_the_row(placeholder: str) -> str:
    """What whoever keeps sessions in a table asks in any case, and all that the bare drivers are asked here."""
    return (
        "SELECT id, user_id, issued_at, authenticated_at, expires_at FROM sessionward_sessions"
        f" WHERE digest = {placeholder} AND ended_at IS NULL"
    )


def signed_in(backend: Any, user: str = "ada", others: int = 500) -> str:
    """The token of one live session, among sessions of others."""
    for number in range(others):
        backend.login(sign_in(f"other {number}", new_token()))
    return tokens(backend, user, 1)[0]


def tokens(backend: Any, user: str, number: int) -> Sequence[str]:
    """The tokens of so many new sessions of a user."""
    made = [new_token() for _ in range(number)]
    for token in made:
        backend.login(sign_in(user, token))
    return made
