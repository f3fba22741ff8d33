"""REST for datasets and forecasts: series as points, faults, rows and forecasts as files."""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from nicegui import app
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.analysis.series import Points, Window, decode
from core.datasets import EXPORTS
from core.errors import UsageError
from core.services import Services
from ui.session import signed_in

PIECE = 256 * 1024
PRIVATE = {'Cache-Control': 'private, no-cache'}


def register(services: Services) -> None:
    """Add the data routes."""

    @app.get('/api/v1/datasets/{dataset_id}/versions/{number}/series')
    async def series(request: Request, dataset_id: UUID, number: int) -> Response:
        user = signed_in(request).user
        version = await services.datasets.version(user.id, dataset_id, number)
        tag = f'"{hashlib.sha256(f"{version.id}?{request.url.query}".encode()).hexdigest()[:32]}"'
        if request.headers.get('if-none-match') == tag:
            return Response(status_code=304, headers=PRIVATE | {'ETag': tag})
        window = _window(request, version.manifest['measures'])
        points = await services.datasets.series(user.id, version, window)
        if request.query_params.get('format') == 'csv':
            name = f'{(await services.datasets.get(user.id, dataset_id)).name} v{number} view.csv'
            return _attachment(_points_csv(decode(points)), 'text/csv; charset=utf-8', name)
        return Response(points, media_type='application/octet-stream', headers=PRIVATE | {'ETag': tag})

    @app.get('/api/v1/datasets/{dataset_id}/versions/{number}/{what}.{form}')
    async def export(request: Request, dataset_id: UUID, number: int, what: str, form: str) -> Response:
        user = signed_in(request).user
        version = await services.datasets.version(user.id, dataset_id, number)
        dataset = await services.datasets.get(user.id, dataset_id)
        if what not in ('rows', 'faults') or form not in EXPORTS:
            raise UsageError('Downloads are rows or faults, as .csv or .parquet.')
        folder = TemporaryDirectory(prefix='variosync-export-')
        out = Path(folder.name) / f'export.{form}'
        await services.datasets.export(user.id, version, what, out)
        return _download(folder, out, EXPORTS[form], f'{dataset.name} v{number} {what}.{form}')

    @app.get('/api/v1/forecasts/{forecast_id}/chart')
    async def chart(request: Request, forecast_id: UUID) -> Response:
        series = request.query_params.get('series')
        figure = await services.forecasts.chart(signed_in(request).user.id, forecast_id, series=series)
        return JSONResponse(json.loads(json.dumps(figure, allow_nan=False)), headers=PRIVATE)

    @app.get('/api/v1/forecasts/{forecast_id}/rows.{form}')
    async def forecast_rows(request: Request, forecast_id: UUID, form: str) -> Response:
        user = signed_in(request).user
        forecast = await services.forecasts.get(user.id, forecast_id)
        if form not in EXPORTS:
            raise UsageError('Forecasts are downloaded as .csv or .parquet.')
        folder = TemporaryDirectory(prefix='variosync-export-')
        out = Path(folder.name) / f'export.{form}'
        await services.forecasts.export(user.id, forecast_id, out)
        return _download(folder, out, EXPORTS[form], f'{forecast.name}.{form}')


def _window(request: Request, measures: list[str]) -> Window:
    query = request.query_params
    width = query.get('width', '1000')
    if not (width.isascii() and width.isdigit() and 1 <= int(width) <= 10_000):
        raise UsageError(f'width must be between 1 and 10000 pixels, not "{width[:20]}".')
    chosen = tuple(query.getlist('measure')) or tuple(measures[:1])
    if unknown := [name for name in chosen if name not in measures]:
        raise UsageError(f'"{unknown[0]}" is no measure of this dataset.')
    series = tuple(query.getlist('series')) or ('',)
    return Window(
        measures=chosen, series=series, start=_time(query.get('from')), end=_time(query.get('to')), width=int(width)
    )


def _time(text: str | None) -> datetime | None:
    """Return a time given in epoch milliseconds or ISO 8601 (UTC unless it says otherwise)."""
    if not text:
        return None
    try:
        if text.lstrip('-').replace('.', '', 1).isdigit():
            return datetime.fromtimestamp(float(text) / 1000, UTC)
        stamp = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f'"{text[:40]}" is no time. Send epoch milliseconds or ISO 8601.') from error
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _points_csv(points: Points) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['time', 'series', 'measure', 'value', 'min', 'max'])
    for line in points.lines:
        low = line.lo if line.lo is not None else line.y
        high = line.hi if line.hi is not None else line.y
        for t, y, lo, hi in zip(line.t, line.y, low, high, strict=True):
            if y == y:
                stamp = datetime.fromtimestamp(t / 1000, UTC).isoformat()
                writer.writerow([stamp, _text(line.series), _text(line.measure), y, lo, hi])
    return out.getvalue().encode()


def _text(value: str) -> str:
    """Keep a spreadsheet from running a text as a formula."""
    return f"'{value}" if value[:1] in ('=', '+', '-', '@', '\t', '\r') else value


def _attachment(body: bytes, kind: str, name: str) -> Response:
    return Response(body, media_type=kind, headers=PRIVATE | {'Content-Disposition': _disposition(name)})


def _disposition(name: str) -> str:
    plain = ''.join(c if c.isascii() and (c.isalnum() or c in ' .-_') else '_' for c in name)
    return f'attachment; filename="{plain}"'


def _download(folder: 'TemporaryDirectory[str]', path: Path, kind: str, name: str) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        with folder, path.open('rb') as file:
            while piece := file.read(PIECE):
                yield piece

    headers = PRIVATE | {'Content-Disposition': _disposition(name), 'Content-Length': str(path.stat().st_size)}
    return StreamingResponse(pieces(), media_type=kind, headers=headers)
