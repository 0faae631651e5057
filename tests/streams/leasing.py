"""A backend whose lease is known: what it says of a session may be trusted by other workers for so long."""

from __future__ import annotations

from collections.abc import Collection
from time import monotonic
from typing import ClassVar, Final

from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.session.session import Checked
from tests.streams.played import Many

LEASE: Final = 0.4
"""Seconds."""


class Leasing(Many):
    """``known_at``: when it said that a session is not live, by the monotonic clock."""

    blocking: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.known_at: list[float] = []

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        live = super().find_many(credentials)
        if len(live) < len(credentials):
            self.known_at.append(monotonic())
        return live

    def check(self, credential: Credential, /) -> Checked:
        session = MemoryBackend.find(self, credential)
        return Checked(session, has_ended=session is None, user_id="ann", remaining=3600.0, lease=LEASE, wait=LEASE)

    def lease_wait(self) -> float:
        return LEASE

    def raise_lease(self, seconds: float, /) -> None:
        """It is long enough already."""

    def set_lease(self, seconds: float, /) -> None:
        raise NotImplementedError
