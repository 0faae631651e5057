"""Which streams a middleware watches, and the questions that it asks about them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sessionward.credential.token import Credential
from sessionward.lease import WAITED, Leases
from sessionward.modes.mode import Mode
from sessionward.request.request import ASGIRequest, WSGIRequest, may_be_below
from sessionward.session.step import Flow
from sessionward.session.steps import Find, FindMany, LeaseWait


@dataclass(frozen=True, slots=True)
class Watching:
    """What the settings and the backend say about streams.

    ``recheck``: seconds from one question to the next. ``paths``: decoded prefixes; None for all paths. ``asks_many``: whether the
    backend answers about many sessions at once. ``has_leases``: whether workers may trust what they have read.
    """

    recheck: float
    paths: tuple[bytes, ...] | None
    asks_many: bool
    has_leases: bool

    @classmethod
    def of(cls, mode: Mode[Any], *, everywhere: bool) -> Watching | None:
        """Returns what to watch, or None. ``everywhere``: whether we watch all paths if ``recheck_paths`` names none."""
        settings = mode.settings
        if settings.recheck is None or not mode.watches_streams or (settings.rechecked is None and not everywhere):
            return None
        return cls(settings.recheck, settings.rechecked, mode.capabilities.supports_many, isinstance(mode.leases, Leases))

    def covers(self, *paths: bytes) -> bool:
        """Returns whether the stream of a request is watched. ``paths``: its path, raw and as others have decoded it.

        Who holds a session chooses the spelling, so every one counts.
        """
        return self.paths is None or any(may_be_below(path, self.paths) for path in paths)

    def covers_request(self, request: ASGIRequest | WSGIRequest) -> bool:
        """Returns whether the stream of a request to an application is watched."""
        return self.paths is None or self.covers(request.route(), request.decoded_route())


def which_live(credentials: Collection[Credential]) -> Flow[Collection[Credential]]:
    """Returns those of the credentials that prove a live session. Asks once for all."""
    return (yield from FindMany(credentials))


def said_after(watching: Watching) -> Flow[float]:
    """Returns after how many seconds it may be said that a session is not live, since other workers may still trust it."""
    return WAITED * (yield from LeaseWait()) if watching.has_leases else 0.0


def is_live(credential: Credential) -> Flow[bool]:
    """Returns whether a credential proves a live session."""
    return (yield from Find(credential)) is not None
