"""How conversions are ordered: what goes on from the one before, what a correction does again, when nothing changes.

An order is the payload of a `convert` job: `upload`, `options` (`core.analysis.ingest.Options`), `how` it joins its
dataset, and `onto` which version, where that is not the one that is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.analysis.ingest import CHOICES, Options, check
from core.analysis.recipes import steps_of
from core.errors import Conflict, NotFound, UsageError
from core.ports import Row, Transaction
from core.values import Upload

ROLES = ('time', 'series', 'measure', 'attribute')
HOW = ('append', 'replace')


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a version was asked for: its `options`, and the number of the version that its file joined, if any."""

    options: Mapping[str, Any]
    onto: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A conversion that is to be done again: its file, how it was told, and the version that it made, if any."""

    upload: Upload
    options: Mapping[str, Any]
    how: str
    onto: str | None = None
    version: Row | None = None


async def to_do_again(tx: Transaction, dataset_id: UUID, *, job_id: UUID | None, number: int | None) -> Again:
    """The conversion that a correction does again: the named one, that of the version of this `number` or of the one in
    use, or the last one. Raise NotFound where there is no such version."""
    current = None
    if number is not None:
        current = await tx.one('version_by_number', dataset_id=dataset_id, number=number)
    elif job_id is None:
        current = await tx.first('version_current', dataset_id=dataset_id)
    if current is None:
        job = await (
            tx.one('job_by_id', id=job_id) if job_id else tx.one('job_last', dataset_id=dataset_id, kind='convert')
        )
        if job['kind'] != 'convert' or job['dataset_id'] != dataset_id:
            raise NotFound('There is no such conversion of this dataset.')
        if job_id is not None and job['state'] not in ('failed', 'cancelled'):
            raise Conflict('Only a conversion that failed or was cancelled is corrected by its job.')
        told = job['payload']
        return Again(
            upload=Upload(**await tx.one('upload_by_id', id=told['upload'])),
            options=told.get('options') or {},
            how=told.get('how', 'replace'),
            onto=told.get('onto'),
        )
    upload = Upload(**await tx.one('upload_by_id', id=current['upload_id']))
    made = await tx.first('version_order', id=current['id'])
    told = made['payload'] if made else {}
    before = told.get('before')
    return Again(
        upload=upload,
        options=told['options'] if 'options' in told else _recipe_of(current),
        how='append' if before else 'replace',
        onto=before and before['version'],
        version=current,
    )


def order_of(payload: Mapping[str, Any]) -> Order:
    """What the payload of a conversion asked for."""
    return Order(options=payload.get('options') or {}, onto=(payload.get('before') or {}).get('number'))


def _recipe_of(version: Row | None) -> dict[str, Any]:
    """The options of a version of which nothing else is known."""
    return {} if version is None else {'recipe': steps_of(version['manifest'])}


def rows_read(version: Row | None) -> int | None:
    """How many records the file of a version had; None when there is no version."""
    return None if version is None else int(version['manifest']['rows_read'])


def columns(manifest: Mapping[str, Any]) -> set[str]:
    """The names of a version's columns, those before its recipe too."""
    return {column['name'] for column in (*manifest['columns'], *manifest.get('base', ()))}


async def last_order(tx: Transaction, dataset_id: UUID) -> Row | None:
    """The conversion that the next upload of a dataset follows; whoever asks next waits for this transaction."""
    await tx.one('dataset_lock', id=dataset_id)
    return await tx.first('dataset_order', dataset_id=dataset_id)


def following(upload: Upload, last: Row | None) -> dict[str, Any]:
    """The options of a conversion: those of the one before, where the upload says nothing else.

    Roles of before are usual ones: they count for columns that the file has.
    """
    before = dict(last['payload'].get('options') or {}) if last else {}
    usual = {**before.pop('usual', {}), **before.pop('roles', {})}
    return before | dict(upload.options) | ({'usual': usual} if usual else {})


def is_same(upload: Upload, sha256: str, options: Mapping[str, Any], last: Row) -> bool:
    """Whether converting an upload would make the rows that the conversion before it made."""
    told = last['payload']
    joins_alike = upload.how == told.get('how', 'replace') or upload.how == 'append'
    return bool(sha256 == last['sha256'] and joins_alike and in_effect(options) == in_effect(told.get('options') or {}))


def in_effect(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that make a difference, so that two orders can be compared."""
    others = {
        name: value for name, value in options.items() if name not in ('usual', 'roles') and value not in (None, {}, [])
    }
    return others | {'roles': {**options.get('usual', {}), **options.get('roles', {})}}


def check_how(how: str) -> None:
    """Raise UsageError for a way to join a dataset that there is not."""
    if how not in HOW:
        raise UsageError(f'"{how}" is no way to join a dataset. Choose append or replace.')


def check_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError for options that cannot be followed, whatever the file."""
    if unknown := set(options) - set(CHOICES):
        raise UsageError(f'There is no option "{min(unknown)}". Options are {", ".join(CHOICES)}.')
    check(Options(**options))


def check_roles(roles: Mapping[str, str], names: set[str] | None) -> None:
    """Raise UsageError for roles that cannot be; `names` are the columns, None when they are not known yet."""
    for column, role in roles.items():
        if (names is not None and column not in names) or role not in ROLES:
            raise UsageError(f'Column "{column}" cannot be read as "{role}". Roles are {", ".join(ROLES)}.')
    if list(roles.values()).count('time') > 1:
        raise UsageError('Only one column can be the time. Choose one and make the others attributes.')
