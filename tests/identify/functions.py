"""An identifier of a few lines, for a framework that needs no class: a function that the user writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sessionward.errors import InvalidCredential
from sessionward.identify import Function
from tests.identify.old import Request


def pyramid_session(factory: Callable[[Any], Any], *, user: str, cookie: str = "session") -> Function:
    """``factory``: what the application gives to ``config.set_session_factory``."""

    def read(name: str, value: str) -> Any:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise InvalidCredential("no value that Pyramid writes")
        session = factory(Request.blank("/", environ={"HTTP_COOKIE": f"{name}={value}"}))
        if session.new:
            raise InvalidCredential("forged, or of another secret")
        return session.get(user)

    return Function(read, cookies=[cookie], blocking=False)
