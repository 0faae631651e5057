"""Health and metrics, on an address of their own: nothing of this is on the public one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from time import monotonic
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sessionward.sidecar.counts import BUCKETS, FAILURES, RESULTS, Counts

FRESH: Final = 1.0
"""Seconds for which an answer of the checks is good, so that probes cannot hammer what they probe."""
PATIENCE: Final = 2.0
"""Seconds that a check may take."""

Check = Callable[[], Awaitable[None]]
"""Returns if what it checks is ready, raises if it is not."""


class Readiness:
    """Whether requests may be sent here. ``draining``: not any more."""

    def __init__(self, checks: dict[str, Check], clock: Callable[[], float] = monotonic) -> None:
        self.draining = False
        self._checks = checks
        self._clock = clock
        self._asked = -FRESH
        self._found: dict[str, bool] = {}
        self._lock = asyncio.Lock()

    async def state(self) -> dict[str, bool]:
        """Each check by its name, and whether it has been passed."""
        if self.draining:
            return {"serving": False}
        async with self._lock:
            if self._clock() - self._asked >= FRESH:
                passed = await asyncio.gather(*map(_passes, self._checks.values()))
                self._found = dict(zip(self._checks, passed, strict=True))
                self._asked = self._clock()
        return {"serving": not self.draining, **self._found}


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await check()
    except Exception:  # whatever it is, it is not ready
        return False
    return True


class _Metrics:
    """The counters, in the words of Prometheus."""

    def __init__(self, counts: Counts, idle: Callable[[], int]) -> None:
        self._counts = counts
        self._idle = idle

    def collect(self) -> Iterable[Metric]:
        sums = self._counts.sums()
        requests = CounterMetricFamily("sessionward_requests", "Requests by what became of them.", labels=["result"])
        for result in RESULTS:
            requests.add_metric([result], sums[f"requests:{result}"])
        yield requests
        buckets, total = list[tuple[str, float]](), 0.0
        for bucket in (*(f"{bucket:g}" for bucket in BUCKETS), "+Inf"):
            total += sums[f"le:{bucket}"]
            buckets.append((bucket, total))
        duration = HistogramMetricFamily("sessionward_request_duration_seconds", "From the head of a request to the end of its answer.")
        duration.add_metric([], buckets, sums["seconds"])
        yield duration
        yield GaugeMetricFamily("sessionward_requests_in_flight", "Requests that are being answered, tunnels included.", sums["in_flight"])
        yield GaugeMetricFamily("sessionward_tunnels_open", "WebSockets that are open.", sums["tunnels"])
        failures = CounterMetricFamily("sessionward_upstream_failures", "Failures of the application behind us.", labels=["kind"])
        for kind in FAILURES:
            failures.add_metric([kind], sums[f"upstream:{kind}"])
        yield failures
        yield GaugeMetricFamily("sessionward_upstream_connections_idle", "Connections kept open, of one worker.", self._idle())
        yield InfoMetricFamily("sessionward_build", "What is running.", {"version": version("sessionward")})


def admin(readiness: Readiness, counts: Counts, idle: Callable[[], int]) -> Starlette:
    """``/livez``, ``/readyz`` and ``/metrics``. ``idle``: how many connections to the upstream are kept open."""
    registry = CollectorRegistry()
    registry.register(_Metrics(counts, idle))

    async def livez(_request: Request) -> Response:
        return _json({"alive": True})

    async def readyz(_request: Request) -> Response:
        state = await readiness.state()
        return _json(state, status=200 if all(state.values()) else 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code, {**(error.headers or {}), "Cache-Control": "no-store"})

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    made = Starlette(routes=routes, exception_handlers={HTTPException: refused})
    made.router.redirect_slashes = False
    return made


def _json(content: Any, status: int = 200) -> Response:
    return JSONResponse(content, status, {"Cache-Control": "no-store"})
