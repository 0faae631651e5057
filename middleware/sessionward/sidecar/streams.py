"""The answers and tunnels of the sidecar that end with their session."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from sessionward.context import Context
from sessionward.credential.token import Credential
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.gate import Admitted, Gate
from sessionward.streams.registry import Registry


class SidecarStream:
    """An answer or a tunnel, as long as it is open."""

    __slots__ = ("_context", "_due", "_end", "_registry")

    def __init__(self, registry: Registry, context: Context, due: float, cut: Callable[[], None]) -> None:
        self._context = context
        self._due = due
        self._end = cut
        self._registry = registry
        registry.add(self)

    @property
    def _proof(self) -> Credential | None:
        return self._context.credential

    def _cut(self) -> None:
        """Ends it."""
        self._end()

    def over(self) -> None:
        """Watches it no longer."""
        self._registry.discard(self)


def watch_answer(gate: Gate, request: Request, admitted: Admitted | None, cut: Callable[[], None]) -> SidecarStream | None:
    """Watches an answer whose head has come. It may be cut when it has been under way for one period."""
    streams = gate.streams
    return None if streams is None else _watch(gate, request, admitted, cut, streams.watching.recheck)


def watch_tunnel(gate: Gate, request: Request, admitted: Admitted | None, cut: Callable[[], None]) -> SidecarStream | None:
    """Watches a tunnel. It may be cut at any time."""
    return _watch(gate, request, admitted, cut, 0.0)


def _watch(gate: Gate, request: Request, admitted: Admitted | None, cut: Callable[[], None], wait: float) -> SidecarStream | None:
    context, streams = None if admitted is None else admitted.context, gate.streams
    if streams is None or context is None or context.credential is None or not streams.watching.covers(request.path):
        return None
    registry = streams.here()
    return None if registry is None else SidecarStream(registry, context, monotonic() + wait, cut)
