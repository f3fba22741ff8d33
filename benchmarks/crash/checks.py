"""What must hold when everything has ended."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from benchmarks.crash.load import Load
from core.errors import NotFound
from storage.objects import Objects

ENDED = """
select j.id, j.user_id, j.kind, j.state, j.title, j.attempt, j.quote, j.charged, j.error ->> 'message' as error,
       j.payload ->> 'upload' as upload,
       (select count(*) from public.notices n
        where n.user_id = j.user_id and n.title in (j.title || ': done', j.title || ': failed')) as told,
       (select count(*) from public.dataset_versions v where v.job_id = j.id) as versions,
       (select count(*) from public.issued_forecasts i where i.forecast_id = j.forecast_id) as issued,
       (select count(*) from public.hour_reservations r where r.job_id = j.id and r.settled_at is not null) as settled,
       (select count(*) from public.hour_reservations r where r.job_id = j.id and r.settled_at is null) as held,
       (select coalesce(sum(r.charged), 0) from public.hour_reservations r where r.job_id = j.id)::bigint as kept,
       (select coalesce(-sum(l.seconds), 0) from public.hour_ledger l where l.job_id = j.id)::bigint as paid
from public.jobs j order by j.created_at
"""
UPLOADS = """
select u.id, u.state, u.dataset_id, j.id as job, j.state as job_state, d.deleted_at
from public.uploads u
left join public.datasets d on d.id = u.dataset_id
left join public.jobs j on j.payload ->> 'upload' = u.id::text and j.kind = 'convert'
"""
VERSIONS = """
select v.id, v.dataset_id, v.number, v.upload_id, v.prefix, v.manifest, v.rows, d.current_version = v.id as shown
from public.dataset_versions v join public.datasets d on d.id = v.dataset_id
"""
BALANCES = """
select p.email,
       (select coalesce(sum(l.seconds), 0) from public.hour_ledger l where l.user_id = p.id)::bigint as ledger,
       (select coalesce(sum(g.remaining), 0) from public.hour_grants g where g.user_id = p.id)::bigint as remaining,
       (select coalesce(min(g.remaining), 0) from public.hour_grants g where g.user_id = p.id)::bigint as least,
       (select count(*) from public.hour_ledger l where l.user_id = p.id and l.balance < 0) as below,
       (select coalesce(-sum(l.seconds), 0) from public.hour_ledger l
        where l.user_id = p.id and l.kind = 'viewing')::bigint as viewing,
       (select coalesce(sum(s.seconds), 0) from public.usage_sessions s where s.user_id = p.id)::bigint as sessions,
       (select count(*) from (
            select l.balance - sum(l.seconds) over (order by l.id) as gap
            from public.hour_ledger l where l.user_id = p.id
        ) lines where gap <> 0) as gaps
from public.profiles p order by p.email
"""


def lost_uploads(load: Load, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of acknowledged uploads without a dataset or a job that ended, or with more than one job."""
    known: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        known.setdefault(str(row['id']), []).append(row)
    for sent in load.sent:
        found = known.get(sent.address.rsplit('/', 1)[1], [])
        if not found:
            yield f'{sent.name}: there is no row'
        elif not sent.complete:
            yield f'{sent.name}: {sent.acknowledged} of {sent.size} bytes could be sent'
        elif len(found) != 1 or found[0]['state'] != 'accepted' or not found[0]['dataset_id'] or not found[0]['job']:
            yield f'{sent.name}: {[dict(row) for row in found]}'
        elif sent.dataset and sent.dataset != str(found[0]['dataset_id']):
            yield f'{sent.name}: the dataset changed from {sent.dataset}'


def ended_wrongly(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of jobs that ended more than once, or whose results do not fit their end."""
    for row in rows:
        good = row['state'] == 'succeeded'
        results = row['versions'] if row['kind'] == 'convert' else row['issued']
        if row['told'] != (row['state'] != 'cancelled'):
            yield f'{row["title"]} ({row["state"]}) was told {row["told"]} times'
        if (row['kind'] == 'convert' and results != good) or (row['kind'] == 'forecast' and bool(results) != good):
            yield f'{row["title"]} ({row["state"]}) has {results} results'


def partial_datasets(load: Load, objects: Objects, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of versions whose objects are absent, have other sizes or rows than the manifest, or than was sent."""
    sent = {one.address.rsplit('/', 1)[1]: one for one in load.sent}
    for row in rows:
        if wrong := [said for file in row['manifest']['files'] if (said := _wrong(objects, row['prefix'], file))]:
            yield f'{row["prefix"]}: {", ".join(wrong)}'
        counted = sum(file['rows'] for file in row['manifest']['files'] if file['name'].startswith('data-'))
        expected = sent[str(row['upload_id'])].rows
        if not counted == row['rows'] == expected:
            yield f'{row["prefix"]}: {counted} rows in files, {row["rows"]} told, {expected} sent'
        owner = load.users[sent[str(row['upload_id'])].owner]
        address = f'/api/v1/datasets/{row["dataset_id"]}/versions/{row["number"]}/series?width=200'
        if row['shown'] and (status := owner.get(address)) != 200:
            yield f'{row["prefix"]}: {address} answers {status}'


def _wrong(objects: Objects, prefix: str, file: Mapping[str, Any]) -> str:
    key = f'{prefix}/{file["name"]}'
    try:
        size = asyncio.run(objects.size(key))
    except NotFound:
        return f'no {file["name"]}'
    if size != file['bytes']:
        return f'{file["name"]} has {size} bytes, not {file["bytes"]}'
    if file['name'].startswith('data-'):
        rows = pq.read_metadata(asyncio.run(objects.fetch(key))).num_rows
        return '' if rows == file['rows'] else f'{file["name"]} has {rows} rows, not {file["rows"]}'
    return ''


def ledger_errors(balances: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Tell of seconds that came or went without an entry, of negative balances and of jobs not settled once."""
    for row in balances:
        if row['ledger'] != row['remaining'] or row['least'] < 0 or row['below'] or row['gaps']:
            yield f'{row["email"]}: {dict(row)}'
        if row['viewing'] != row['sessions']:
            yield f'{row["email"]}: {row["viewing"]} s of viewing were paid, {row["sessions"]} s were viewed'
    for row in jobs:
        charged = row['charged']
        if (row['settled'], row['held']) != (1, 0) or charged is None or not charged == row['kept'] == row['paid']:
            yield f'{row["title"]}: {dict(row)}'
        elif charged > row['quote'] or (charged and row['state'] != 'succeeded'):
            yield f'{row["title"]} ({row["state"]}) was charged {charged} of {row["quote"]} s'
