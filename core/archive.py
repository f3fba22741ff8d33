"""Everything that a user has here, as one ZIP file that is made while it is sent."""

import asyncio
import csv
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol
from uuid import UUID

from core.analysis.tables import FORMULA_STARTS
from core.errors import NotFound
from core.ports import Database, ObjectStore, Row, Transaction
from core.values import Forecast, Version

PIECE = 2**20
LONGEST_NAME = 100
PACKED = ('.7z', '.bz2', '.gz', '.parquet', '.xlsx', '.xz', '.zip', '.zst')
RESERVED = {'con', 'prn', 'aux', 'nul', *(f'{port}{n}' for port in ('com', 'lpt') for n in range(1, 10))}

README = """\
This is everything that VARIOSYNC keeps for your account. Times are UTC, amounts of hours are in seconds.

account.json              who you are, your preferences, API keys (never the keys themselves) and sessions
grants.csv                hours that you were given, and what remains of them
ledger.csv                every second of your hours that came or went, with the balance after it
audit.csv                 what was done with your account, when and from which address
notices.json, jobs.json   what you were told, and what was computed for you
issued.json, scores.json  every forecast as it was issued, and what became of it on later versions of its dataset
dashboards.json           your dashboards: names, panels and variables, and when they were changed last
dashboard_states.json     the states of them that are kept, each with when it was saved

datasets/NAME/
  dataset.json            its name, when it was made, and which file is which upload
  original/               the files as you uploaded them
  manifest.json           how the current version was read: columns, time, faults, quality
  rows/data-*.parquet     the rows of the current version, in order; columns that begin with "_" are ours:
                          _series and _time are what a chart draws by, _line is the line of the file,
                          _source the place of that file in the manifest's list of sources
  faults.parquet          cells and records that could not be read, each with its line

forecasts/NAME/
  request.json            what was asked for
  result.json             models, scores and warnings
  rows.parquet            the forecast itself, every model, every step, with its bands

Uploads that have not arrived whole are left out. In CSV files a text that a spreadsheet would run as a formula has an
apostrophe before it. If a file could not be found, missing.txt names it.
"""


class Reading(Protocol):
    """What the archive asks of forecasts (`core.forecasts.Forecasts`)."""

    async def get(self, user_id: UUID, forecast_id: UUID, *, deleted: bool = False) -> Forecast:
        """Return a forecast, also one that was `deleted` where that is asked for."""

    async def export(self, user_id: UUID, forecast_id: UUID, out: Path, *, deleted: bool = False) -> None:
        """Write the rows of every model to `out`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of the archive: its content in pieces, `size` in bytes when that is known, and whether packing pays."""

    name: str
    pieces: AsyncIterator[bytes]
    size: int | None = None
    pack: bool = True


class Archive:
    """Downloads of whole accounts. Nothing is charged for them, and their memory does not grow with the data."""

    def __init__(self, database: Database, forecasts: Reading, objects: ObjectStore) -> None:
        self._database = database
        self._forecasts = forecasts
        self._objects = objects

    async def stream(self, user_id: UUID) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the user's archive. Raise NotFound, before the first byte, when there is no such user."""
        account = await self._account(user_id)
        out = _Outlet()
        with zipfile.ZipFile(out, 'w') as archive:
            async with aclosing(self._entries(user_id, account)) as entries:
                async for entry in entries:
                    async with aclosing(_packed(archive, entry, out)) as pieces:
                        async for data in pieces:
                            yield data
        yield out.taken()

    async def _entries(self, user_id: UUID, account: Mapping[str, Any]) -> AsyncGenerator[Entry, None]:
        missing: list[str] = []
        yield _text('README.txt', README)
        yield _json('account.json', account)
        for name, pages in _TABLES.items():
            yield Entry(name=name, pieces=self._table(user_id, name, pages))
        for part in (self._datasets(user_id, missing), self._forecast_files(user_id, missing)):
            async with aclosing(part) as entries:
                async for entry in entries:
                    yield entry
        if missing:
            yield _text('missing.txt', '\n'.join(missing) + '\n')

    async def _account(self, user_id: UUID) -> Mapping[str, Any]:
        async with self._database.transaction(user_id) as tx:
            profile = await tx.one('archive_profile')
            keys = await tx.all('archive_keys')
            sessions = await tx.all('archive_sessions')
        return {**profile, 'api_keys': [dict(row) for row in keys], 'sessions': [dict(row) for row in sessions]}

    async def _table(self, user_id: UUID, name: str, page: 'Page') -> AsyncIterator[bytes]:
        """Rows of a table as CSV or as a JSON list, by the name's suffix; each page is a transaction of its own."""
        write = _csv_lines if name.endswith('.csv') else _json_lines
        last: Row | None = None
        while True:
            async with self._database.transaction(user_id) as tx:
                rows = await page(tx, last)
            yield write(rows, first=last is None, final=not rows)
            if not rows:
                return
            last = rows[-1]

    async def _datasets(self, user_id: UUID, missing: list[str]) -> AsyncGenerator[Entry, None]:
        async with self._database.transaction(user_id) as tx:
            found = await tx.all('archive_datasets')
        folders = _Names()
        for dataset in found:
            folder = f'datasets/{folders.take(dataset["name"])}'
            async with self._database.transaction(user_id) as tx:
                uploads = await tx.all('archive_uploads', dataset_id=dataset['id'])
                row = await tx.first('archive_version', dataset_id=dataset['id'])
            names = _Names()
            files = [(f'original/{names.take(upload["name"])}', upload['object_key']) for upload in uploads]
            originals = [
                {**upload, 'file': file} for upload, (file, _) in zip(map(_shown, uploads), files, strict=True)
            ]
            yield _json(f'{folder}/dataset.json', {**dataset, 'uploads': originals})
            if row is not None:
                version = Version(**row)
                yield _json(f'{folder}/manifest.json', {'version': version.number, **version.manifest})
                files += [(f'rows/{key.rpartition("/")[2]}', key) for key in version.parts]
                files.append(('faults.parquet', f'{version.prefix}/faults.parquet'))
            for name, key in files:
                try:
                    yield await self._object(f'{folder}/{name}', key)
                except NotFound:
                    missing.append(f'{folder}/{name}')

    async def _object(self, name: str, key: str) -> Entry:
        size = await self._objects.size(key)
        pieces = await self._objects.stream(key)
        return Entry(name=name, pieces=pieces, size=size, pack=not name.lower().endswith(PACKED))

    async def _forecast_files(self, user_id: UUID, missing: list[str]) -> AsyncGenerator[Entry, None]:
        async with self._database.transaction(user_id) as tx:
            found = await tx.all('archive_forecasts')
        folders = _Names()
        for row in found:
            try:
                forecast = await self._forecasts.get(user_id, row['id'], deleted=True)
            except NotFound:  # it was removed for good since it was listed
                missing.append(f'forecasts/{row["id"]}')
                continue
            folder = f'forecasts/{folders.take(f"{forecast.name} in {forecast.dataset_name}")}'
            about = {name: getattr(forecast, name) for name in ('id', 'name', 'dataset_id', 'dataset_name', 'version')}
            about |= {'created_at': forecast.created_at, 'state': forecast.state}
            yield _json(f'{folder}/request.json', {**about, 'request': forecast.request})
            if forecast.result is None:
                continue
            yield _json(f'{folder}/result.json', {'issued_at': forecast.issued_at, **forecast.result})
            with TemporaryDirectory(prefix='variosync-archive-') as temporary:
                path = Path(temporary) / 'rows.parquet'
                try:
                    await self._forecasts.export(user_id, forecast.id, path, deleted=True)
                except NotFound:
                    missing.append(f'{folder}/rows.parquet')
                    continue
                size = path.stat().st_size
                yield Entry(name=f'{folder}/rows.parquet', pieces=_file(path), size=size, pack=False)


Page = Callable[[Transaction, Row | None], Awaitable[Sequence[Row]]]
# Row-wise after the last row of the page before; the first page is after none, and an empty one ends the table.
_TABLES: Mapping[str, Page] = {
    'grants.csv': lambda tx, last: tx.all('archive_grants', **_after(last, 'created_at', 'id')),
    'ledger.csv': lambda tx, last: tx.all('archive_ledger', after=last and last['id']),
    'audit.csv': lambda tx, last: tx.all('archive_audit', after=last and last['id']),
    'notices.json': lambda tx, last: tx.all('archive_notices', **_after(last, 'created_at', 'id')),
    'jobs.json': lambda tx, last: tx.all('archive_jobs', **_after(last, 'created_at', 'id')),
    'issued.json': lambda tx, last: tx.all('archive_issued', **_after(last, 'issued_at', 'id')),
    'scores.json': lambda tx, last: tx.all('archive_scores', **_after(last, 'scored_at', 'id')),
    'dashboards.json': lambda tx, last: tx.all('archive_dashboards', **_after(last, 'created_at', 'id')),
    'dashboard_states.json': lambda tx, last: tx.all('archive_dashboard_states', **_after(last, 'saved_at', 'id')),
}


def _after(last: Row | None, *names: str) -> dict[str, Any]:
    return {name: last and last[name] for name in names}


class _Outlet(io.RawIOBase):
    """What `zipfile` writes to: it cannot seek, and what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._waiting)
        self._waiting.clear()
        return data


class _Names:
    """Names for files and folders that every system can hold, each given once whatever its case."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def take(self, wanted: str) -> str:
        name = safe_name(wanted)
        stem, _, suffix = name.rpartition('.')
        unique, number = name, 1
        while unique.casefold() in self._given:
            number += 1
            unique = f'{stem} ({number}).{suffix}' if stem else f'{suffix} ({number})'
        self._given.add(unique.casefold())
        return unique


def safe_name(wanted: str) -> str:
    """Return a name of at most 100 characters that leads nowhere and that Windows, macOS and Linux can hold."""
    text = unicodedata.normalize('NFC', wanted)
    text = ''.join('_' if c in '<>:"/\\|?*' or not c.isprintable() else c for c in text)
    text = re.sub(r'\s+', ' ', text).strip(' .')
    stem, dot, suffix = text.rpartition('.')
    if len(text) > LONGEST_NAME and dot and len(suffix) <= 10:
        text = f'{stem[: LONGEST_NAME - len(suffix) - 1].rstrip(" .")}.{suffix}'
    text = text[:LONGEST_NAME].rstrip(' .')
    return f'_{text}' if not text or text.partition('.')[0].casefold() in RESERVED else text


async def _packed(archive: zipfile.ZipFile, entry: Entry, out: _Outlet) -> AsyncGenerator[bytes, None]:
    # The header comes first, so an entry of unknown size must be ready for more than 4 GB.
    large = entry.size is None or entry.size > 2**31
    with archive.open(_described(entry), 'w', force_zip64=large) as file:
        async for piece in entry.pieces:
            await asyncio.to_thread(file.write, piece)
            if data := out.taken():
                yield data


def _described(entry: Entry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(entry.name, datetime.now(UTC).timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED if entry.pack else zipfile.ZIP_STORED
    info.external_attr = 0o600 << 16
    return info


def _shown(upload: Row) -> dict[str, Any]:
    return {name: value for name, value in upload.items() if name != 'object_key'}


def _text(name: str, text: str) -> Entry:
    return Entry(name=name, pieces=_once(text.encode()), size=len(text.encode()))


def _json(name: str, value: Mapping[str, Any]) -> Entry:
    return _text(name, json.dumps(dict(value), indent=2, ensure_ascii=False, default=_plain) + '\n')


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _file(path: Path) -> AsyncIterator[bytes]:
    with path.open('rb') as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


def _csv_lines(rows: Sequence[Row], *, first: bool, final: bool) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    if first and rows:
        writer.writerow(rows[0].keys())
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return out.getvalue().encode()


def _json_lines(rows: Sequence[Row], *, first: bool, final: bool) -> bytes:
    texts = [json.dumps(dict(row), ensure_ascii=False, default=_plain) for row in rows]
    opening = '[\n' if first else ',\n' if rows else ''
    return (opening + ',\n'.join(texts) + ('\n]\n' if final else '')).encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value.isoformat() if isinstance(value, datetime) else value


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
