"""Health and metrics, on an address of their own: the public address shows none of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric

from sessionward.response.answer import Response
from sessionward.sidecar.observe.counts import BOUNDS, BUCKETS, CLASSES, FAILURES, RESULTS, Counts
from sessionward.sidecar.observe.readiness import Readiness

_JSON: Final = b"application/json"


class Asked(Protocol):
    """The parts of a request that decide its answer."""

    @property
    def method(self) -> bytes: ...
    @property
    def path(self) -> bytes: ...


class Admin:
    """Answers ``/livez``, ``/readyz`` and ``/metrics``."""

    def __init__(self, readiness: Readiness, counts: Counts, idle: Callable[[], int]) -> None:
        """``idle``: returns how many connections to the upstream are kept open."""
        self._readiness = readiness
        self._registry = CollectorRegistry()
        self._registry.register(_Metrics(counts, idle))

    async def answer(self, request: Asked) -> Response:
        """Returns the answer. That to HEAD has the body of GET, which the connection does not send."""
        if request.path not in (b"/livez", b"/readyz", b"/metrics"):
            return _json(HTTPStatus.NOT_FOUND, {"error": "Not Found"})
        if request.method not in (b"GET", b"HEAD"):
            return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "Method Not Allowed"}, (b"allow", b"GET, HEAD"))
        if request.path == b"/livez":
            return _json(HTTPStatus.OK, {"alive": True})
        if request.path == b"/metrics":
            return _response(HTTPStatus.OK, CONTENT_TYPE_LATEST.encode(), generate_latest(self._registry))
        state = await self._readiness.state()
        return _json(HTTPStatus.OK if all(state.values()) else HTTPStatus.SERVICE_UNAVAILABLE, state)


def _json(status: HTTPStatus, content: object, *extra: tuple[bytes, bytes]) -> Response:
    return _response(status, _JSON, json.dumps(content, separators=(",", ":")).encode(), *extra)


def _response(status: HTTPStatus, kind: bytes, body: bytes, *extra: tuple[bytes, bytes]) -> Response:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store"), *extra]
    return Response(status, headers, body)


class _Metrics:
    """The counters, in the words of Prometheus."""

    def __init__(self, counts: Counts, idle: Callable[[], int]) -> None:
        self._counts = counts
        self._idle = idle

    def collect(self) -> Iterable[Metric]:
        sums = self._counts.sums()
        yield _labelled("sessionward_requests", "Requests by their result.", "result", "requests", RESULTS, sums)
        yield _labelled("sessionward_responses", "Responses by the class of their status.", "class", "responses", CLASSES, sums)
        buckets, total = list[tuple[str, float]](), 0.0
        for bucket in (*(f"{bucket:g}" for bucket in BUCKETS), "+Inf"):
            total += sums[f"le:{bucket}"]
            buckets.append((bucket, total))
        said = "From the head of a request to the end of its answer, without tunnels."
        duration = HistogramMetricFamily("sessionward_request_duration_seconds", said)
        duration.add_metric([], buckets, sums["seconds"])
        yield duration
        yield GaugeMetricFamily("sessionward_requests_in_flight", "Requests that are being answered, tunnels included.", sums["in_flight"])
        yield GaugeMetricFamily("sessionward_tunnels_open", "WebSockets that are open.", sums["tunnels"])
        yield _labelled("sessionward_upstream_failures", "Failures of the application behind us.", "kind", "upstream", FAILURES, sums)
        yield _labelled("sessionward_bounds", "What was refused or cut because of a limit.", "bound", "bound", BOUNDS, sums)
        said = "Session-Login fields that had no valid proof, or came on another path than a login path."
        yield CounterMetricFamily("sessionward_logins_refused", said, sums["logins_refused"])
        yield GaugeMetricFamily("sessionward_upstream_connections_idle", "Connections kept open, of one worker.", self._idle())
        yield InfoMetricFamily("sessionward_build", "The version that is running.", {"version": version("sessionward")})


def _labelled(name: str, said: str, label: str, prefix: str, values: Iterable[str], sums: dict[str, float]) -> Metric:
    family = CounterMetricFamily(name, said, labels=[label])
    for value in values:
        family.add_metric([value], sums[f"{prefix}:{value}"])
    return family
