"""Sessions for tests, begun without a door."""

from __future__ import annotations

from typing import Any

import sessionward
from sessionward.credential.token import Credential, new_token


def begun(backend: Any, user: str) -> tuple[Any, str]:
    """What ``login`` answers (of an async backend, something to be awaited), and the token of the new session."""
    token = new_token()
    answer = backend.login(
        user,
        Credential(token.encode()).digest,
        since=None,
        age=lambda: 0.0,
        replaces=None,
        expires_in=3600.0,
        device=sessionward.Device(),
        methods=(),
    )
    return answer, token
