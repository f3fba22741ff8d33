"""Rows that tests begin with. Each returns what it made."""

import json
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from core.values import User
from storage.postgres import Postgres

SHA256 = '0' * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A user's id and the id of one row in each table that belongs to them."""

    user_id: UUID
    ids: dict[str, Any]


async def user(database: Postgres, email: str | None = None, *, owner: bool = False, hours: float = 10) -> User:
    """An account with its profile and hours."""
    user_id = uuid4()
    email = email or f'{user_id.hex}@example.com'
    async with database.system() as tx:
        await tx.run('profile_insert', id=user_id, email=email, owner=owner)
        if hours:
            await tx.one(
                'hours_give',
                user_id=user_id,
                seconds=round(hours * 3600),
                source='gift',
                label='Hours of a test',
                key=f'test:{user_id}',
                priority=50,
                expires_at=None,
            )
    return User(id=user_id, email=email, name='', owner=owner)


def tenant(connection: psycopg.Connection[Any]) -> Tenant:
    """One row in every table, all of one new user; the connection must be allowed to write past row-level security."""
    user_id, key = uuid4(), uuid4().hex
    ids: dict[str, Any] = {'profiles': user_id}

    def insert(table: str, **values: Any) -> Any:
        values = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in values.items()}
        columns, marks = ', '.join(values), ', '.join(f'%({name})s' for name in values)
        returned = 'user_id' if table == 'settings' else 'token_hash' if table == 'sign_in_links' else 'id'
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(
                f'insert into public.{table} ({columns}) values ({marks}) returning {returned}', values
            )
            ids[table] = next(iter(row.fetchone().values()))
        return ids[table]

    connection.execute('insert into auth.users (id, email) values (%s, %s)', (user_id, f'{key}@example.com'))
    connection.execute('insert into public.profiles (id, email) values (%s, %s)', (user_id, f'{key}@example.com'))
    insert('settings', user_id=user_id)
    insert('sessions', token_hash=uuid4().bytes * 2, user_id=user_id, expires_at='infinity')
    insert('api_keys', user_id=user_id, name='a', prefix='vsk_abcdef', key_hash=uuid4().bytes * 2, scopes=['jobs:read'])
    insert('sign_in_links', token_hash=uuid4().bytes * 2, user_id=user_id, expires_at='infinity')
    stored = f't/{user_id}/{key}'
    upload = insert(
        'uploads', id=uuid4(), user_id=user_id, name='a.csv', size=1, state='accepted', object_key=stored, sha256=SHA256
    )
    source = insert('data_sources', user_id=user_id, kind='upload', name='a.csv', upload_id=upload)
    dataset = insert('datasets', user_id=user_id, source_id=source, name='a')
    job = insert('jobs', user_id=user_id, kind='convert', title='a', payload={}, dataset_id=dataset)
    insert('calls', user_id=user_id, job_id=job, attempt=secrets.randbelow(10**9) + 1, part='whole', prefix=stored)
    version = insert(
        'dataset_versions',
        dataset_id=dataset,
        user_id=user_id,
        number=secrets.randbelow(10**9) + 1,
        upload_id=upload,
        job_id=job,
        prefix=key,
        manifest={},
        rows=1,
    )
    connection.execute('update public.uploads set dataset_id = %s where id = %s', (dataset, upload))
    connection.execute('update public.datasets set current_version = %s where id = %s', (version, dataset))
    forecast = insert(
        'forecasts', user_id=user_id, dataset_id=dataset, version_id=version, name='a', request={}, job_id=job
    )
    connection.execute('update public.jobs set forecast_id = %s where id = %s', (forecast, job))
    issued = insert(
        'issued_forecasts', forecast_id=forecast, user_id=user_id, model=key, cutoff='2026-01-01', object_key=key,
        sha256=SHA256, rows=1,
    )  # fmt: skip
    insert(
        'forecast_scores', user_id=user_id, issued_id=issued, version_id=version, points=0, reaches=False, blocks='[]',
        code='a',
    )  # fmt: skip
    insert('version_changes', user_id=user_id, version_id=version, base_id=version, target=key, ranges='[]')
    grant = insert('hour_grants', user_id=user_id, source='gift', label='a', seconds=2, remaining=1, key=key)
    insert('hour_ledger', user_id=user_id, grant_id=grant, kind='grant', label='a', seconds=2, balance=2, key=key)
    insert(
        'hour_reservations', user_id=user_id, job_id=job, seconds=1, charged=1, held_at='2026-01-01',
        settled_at='2026-01-01',
    )  # fmt: skip
    insert(
        'usage_sessions', user_id=user_id, started_at='2026-01-01', billed_through='2026-01-01', seen_at='2026-01-01',
        active_at='2026-01-01',
    )  # fmt: skip
    dashboard = insert('dashboards', user_id=user_id, name='a', spec={})
    insert(
        'dashboard_revisions', user_id=user_id, dashboard_id=dashboard, revision=secrets.randbelow(10**9) + 1, spec={}
    )
    insert('notices', user_id=user_id, level='info', title='a')
    insert('audit_logs', user_id=user_id, action='a')
    return Tenant(user_id=user_id, ids=ids)
