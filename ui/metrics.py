"""What this process counts of its own work, and the text that Prometheus reads."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.metrics import Figures

METHODS = frozenset({'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'})
FOLDERS = ('/static', '/_nicegui', '/_nicegui_ws')
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CLIENT_LEFT = 499

disable_created_metrics()  # type: ignore[no-untyped-call]


class Counters:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            'variosync_http_requests',
            'Requests that were answered.',
            ('method', 'route', 'status'),
            registry=self._registry,
        )
        self._seconds = Histogram(
            'variosync_http_request_seconds',
            'Seconds from a request to the last byte of its answer.',
            ('route',),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.sockets = Gauge('variosync_sockets', 'Sockets of pages that are open.', registry=self._registry)

    def count(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is a template, never an address that somebody made up."""
        self._requests.labels(method if method in METHODS else 'other', route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, figures: Figures | None, *, accept: str = '') -> tuple[bytes, str]:
        """Return everything in the format the scraper accepts, and its content type.

        Without figures the database did not answer; `variosync_database_up` says so.
        """
        encode, content_type = choose_encoder(accept)
        return encode(_Both(self._registry, figures)), content_type


class Counting:
    """Counts and times requests and open sockets. Pure ASGI, so that streams of any length pass untouched."""

    def __init__(self, app: ASGIApp, *, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through and note how it went."""
        if scope['type'] == 'http':
            await self._http(scope, receive, send)
        elif scope['type'] == 'websocket':
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status, route, ended = 0, '', False

        async def note(message: Message) -> None:
            nonlocal status, route, ended
            if message['type'] == 'http.response.start':
                status, route = message['status'], template(scope)
            ended = message['type'] != 'http.response.start' and not message.get('more_body', False)
            await send(message)

        try:
            await self._app(scope, receive, note)
            # Whoever has left reads no end of an answer, but what stands around us takes none at all for a fault.
            if not status:
                await note({'type': 'http.response.start', 'status': CLIENT_LEFT, 'headers': []})
            if not ended:
                await note({'type': 'http.response.body', 'body': b''})
        except asyncio.CancelledError:
            status = status or CLIENT_LEFT
            raise
        finally:
            # What is raised past everything is answered by the framework, outside of us, as a fault of ours.
            self._counters.count(
                method=scope['method'],
                route=route or template(scope),
                status=status or 500,
                seconds=time.perf_counter() - started,
            )

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = False

        async def note(message: Message) -> None:
            nonlocal accepted
            if message['type'] == 'websocket.accept':
                accepted = True
                self._counters.sockets.inc()
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            if accepted:
                self._counters.sockets.dec()


def template(scope: Mapping[str, Any]) -> str:
    """Return the template of the route that answers, such as `/datasets/{dataset_id}`, or `other` when none does.

    Folders of files count as one route each.
    """
    path = scope['path']
    for folder in FOLDERS:
        if path.startswith(f'{folder}/'):
            return folder
    # A route of an included router knows only its own part of the path; the framework keeps the whole one here.
    whole = getattr(scope.get('fastapi', {}).get('effective_route_context'), 'path_format', None)
    return whole or getattr(scope.get('route'), 'path', None) or 'other'


class _Both(Collector):
    """The counters of the process, then the figures of the database."""

    def __init__(self, registry: CollectorRegistry, figures: Figures | None) -> None:
        self._registry = registry
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()
        up = 'Whether the database answered this scrape.'
        yield GaugeMetricFamily('variosync_database_up', up, value=self._figures is not None)
        if self._figures is not None:
            yield from _families(self._figures)


def _families(figures: Figures) -> Iterator[Metric]:
    jobs = GaugeMetricFamily('variosync_jobs', 'Jobs that have not ended.', labels=('state', 'kind'))
    for pair, number in figures.jobs.items():
        jobs.add_metric(pair, number)
    yield jobs
    oldest = GaugeMetricFamily(
        'variosync_job_oldest_seconds',
        'Age of the oldest queued job, and of the longest running one.',
        labels=('state',),
    )
    for state, seconds in figures.oldest.items():
        oldest.add_metric((state,), seconds)
    yield oldest
    ended = CounterMetricFamily('variosync_jobs_ended', 'Jobs that ended.', labels=('kind', 'state'))
    for pair, number in figures.ended.items():
        ended.add_metric(pair, number)
    yield ended
    yield CounterMetricFamily(
        'variosync_rows_converted', 'Rows of the dataset versions that were made.', value=figures.rows_converted
    )
    yield CounterMetricFamily(
        'variosync_forecast_seconds',
        'Seconds that forecast jobs took, from start to end.',
        value=figures.forecast_seconds,
    )
    charged = CounterMetricFamily(
        'variosync_hours_charged_seconds', 'Seconds of hours that were charged.', labels=('kind',)
    )
    for kind, number in figures.charged.items():
        charged.add_metric((kind,), number)
    yield charged
    cache = CounterMetricFamily('variosync_cache_requests', 'Reads of the cache.', labels=('result',))
    for result, number in figures.cache.items():
        cache.add_metric((result,), number)
    yield cache
