"""How the upstream can fail, and who gives up waiting."""

from __future__ import annotations


class UpstreamError(Exception):
    """The upstream could not be asked, or has not answered as it must. ``kind`` is for metrics and the log."""

    kind = "reset"


class CannotConnect(UpstreamError):
    """Nobody listens there, or TLS failed."""

    kind = "connect"


class Invalid(UpstreamError):
    """What came is not one well-formed answer."""

    kind = "invalid"


class TooSlow(UpstreamError):
    """No connection, or no head of an answer, within its time."""

    kind = "timeout"


class Stalled(UpstreamError):
    """The client has stopped in the middle of its request."""

    kind = "client"


class ClientGone(UpstreamError):
    """Nobody waits for the answer any more."""

    kind = "client"
