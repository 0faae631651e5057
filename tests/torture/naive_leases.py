"""Leases as one would write them first: canaries that the harnesses of leases must catch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from sessionward import BackendUnavailable, Session
from sessionward.backends import Credential
from sessionward.lease import Leases
from sessionward.session.pause import Join, Question
from sessionward.session.session import Checked
from sessionward.session.step import Flow, Step

T = TypeVar("T")


class WaitsForNoCheck(Leases):
    """Says at once that a session has ended: another worker may trust it still."""

    def _may_say(self, user_id: str, not_before: float) -> Flow[None]:
        yield from ()


class WaitsForNoChange(Leases):
    """Answers a revocation at once."""

    def settled(self, change: Step[T], own: Credential | None = None, user_id: str = "") -> Flow[T]:
        return iter(change)


class WaitsOnlyIfSomethingEnded(Leases):
    """Answers at once when there was nothing to end, as in the repeat of a call whose outcome was unknown."""

    def settled(self, change: Step[T], own: Credential | None = None, user_id: str = "") -> Flow[T]:
        result = yield from change
        if result:
            yield from self._settle(own, user_id)
        return result


class TimeToLive(WaitsForNoCheck, WaitsForNoChange):
    """A cache with a time to live, for which nobody waits."""


class TrustsFromTheAnswer(Leases):
    """Counts the age of an answer from when it came, and not from when it was asked for."""

    def _trust(self, digest: bytes, began: float, checked: Checked) -> None:
        super()._trust(digest, self._clock(), checked)


class JoinsAnyQuestion(Leases):
    """Joins a question that began at any time before."""

    def _joined(self, question: Question) -> Flow[Session | None]:
        checked = yield from Join(question)
        return None if checked is None else checked.session


class TrustsTheSetting(Leases):
    """Trusts for as long as its setting says, whatever the lease in the backend is, and leaves that as it is."""

    def _trust(self, digest: bytes, began: float, checked: Checked) -> None:
        super()._trust(digest, began, checked._replace(lease=self._seconds))

    def _raised(self) -> Flow[None]:
        yield from ()


class SwallowsOutages(Leases):
    """Goes on with what it has known when the backend cannot answer."""

    def find(self, credential: Credential) -> Flow[Session | None]:
        try:
            return (yield from super().find(credential))
        except BackendUnavailable:
            held = self._live.get(credential.digest)
            return None if held is None else held[1]


VARIANTS: Final[Mapping[str, type[Leases]]] = {
    variant.__name__: variant
    for variant in (
        JoinsAnyQuestion,
        SwallowsOutages,
        TimeToLive,
        TrustsFromTheAnswer,
        TrustsTheSetting,
        WaitsForNoChange,
        WaitsForNoCheck,
        WaitsOnlyIfSomethingEnded,
    )
}
