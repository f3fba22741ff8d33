"""Dashboards: saved as they are changed, never over somebody else's change, and brought back."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from core.errors import Conflict, NotFound, UsageError
from core.values import User
from storage.embedded.server import EmbeddedPostgres
from tests import factories
from tests.flows.conftest import Product

READINGS = b'time,site,load\n' + b''.join(b'2026-01-%02d,Oslo,%d\n' % (day, day) for day in range(1, 29))


async def dataset_of(product: Product, user: User) -> str:
    upload = await product.send(user, 'load.csv', READINGS)
    return str((await product.uploads.accept(user.id, upload.id)).dataset_id)


def note(text: str) -> dict[str, Any]:
    return {'panels': [{'id': 'n', 'kind': 'note', 'show': {'text': text}}]}


async def test_states_are_saved_one_after_the_other_and_brought_back(product: Product, user: User) -> None:
    made = await product.dashboards.create(user.id, '  Load  ', note('first'))
    second = await product.dashboards.save(user.id, made.id, note('second'), revision=1)
    assert (made.name, made.revision, second.revision) == ('Load', 1, 2)
    with pytest.raises(Conflict) as caught:
        await product.dashboards.save(user.id, made.id, note('lost'), revision=1)
    assert caught.value.details['revision'] == 2
    third = await product.dashboards.restore(user.id, made.id, 1)
    assert (third.revision, third.spec) == (3, made.spec)
    assert [one.revision for one in await product.dashboards.revisions(user.id, made.id)] == [3, 2, 1]


async def test_two_pages_that_save_at_once_do_not_overwrite_each_other(product: Product, user: User) -> None:
    made = await product.dashboards.create(user.id, 'Load')
    done = await asyncio.gather(
        *(product.dashboards.save(user.id, made.id, note(f'{n}'), revision=1) for n in range(5)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ['Conflict'] * 4 + ['Dashboard']
    assert (await product.dashboards.get(user.id, made.id)).revision == 2


async def test_only_the_last_states_are_kept(product: Product, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('core.dashboards.KEPT', 3)
    made = await product.dashboards.create(user.id, 'Load')
    for revision in range(1, 6):
        await product.dashboards.save(user.id, made.id, note(f'{revision}'), revision=revision)
    assert [one.revision for one in await product.dashboards.revisions(user.id, made.id)] == [6, 5, 4]


async def test_panels_draw_own_datasets_alone(product: Product, user: User) -> None:
    dataset = await dataset_of(product, user)
    spec = {'panels': [{'id': 'p', 'kind': 'line', 'dataset': dataset}]}
    made = await product.dashboards.create(user.id, 'Load', spec)
    stranger = await factories.user(product.database)
    for foreign in (dataset, str(uuid4())):
        with pytest.raises(UsageError) as caught:
            await product.dashboards.create(
                stranger.id, 'Load', {'panels': [{'id': 'p', 'kind': 'line', 'dataset': foreign}]}
            )
        assert caught.value.details['place'] == 'spec.panels[0].dataset'
    for call in (
        product.dashboards.get(stranger.id, made.id),
        product.dashboards.save(stranger.id, made.id, {}, revision=1),
        product.dashboards.rename(stranger.id, made.id, 'x'),
        product.dashboards.delete(stranger.id, made.id),
        product.dashboards.revisions(stranger.id, made.id),
        product.dashboards.duplicate(stranger.id, made.id),
    ):
        with pytest.raises(NotFound):
            await call
    assert not await product.dashboards.list(stranger.id)
    await product.datasets.delete(user.id, UUID(dataset))
    kept = await product.dashboards.save(user.id, made.id, spec, revision=1)
    assert kept.spec['panels'][0]['dataset'] == dataset


async def test_named_pinned_copied_taken_away_and_brought_back(product: Product, user: User) -> None:
    first = await product.dashboards.create(user.id, 'First', note('kept'))
    second = await product.dashboards.duplicate(user.id, first.id)
    assert (second.name, second.spec) == ('First (copy)', first.spec)
    await product.dashboards.pin(user.id, first.id, True)
    await product.dashboards.rename(user.id, first.id, 'Home')
    assert [(one.name, one.pinned) for one in await product.dashboards.list(user.id)] == [
        ('Home', True),
        ('First (copy)', False),
    ]
    await product.dashboards.delete(user.id, first.id)
    with pytest.raises(NotFound):
        await product.dashboards.get(user.id, first.id)
    await product.dashboards.undelete(user.id, first.id)
    assert (await product.dashboards.get(user.id, first.id)).spec == first.spec


async def test_open_pages_hear_of_each_change(product: Product, user: User) -> None:
    async with product.events.subscribe(f'{user.id}/dashboards') as messages:
        made = await product.dashboards.create(user.id, 'Load')
        await product.dashboards.save(user.id, made.id, note('x'), revision=1)
        heard = [await anext(messages), await anext(messages)]
    assert [(one['dashboard'], one['revision']) for one in heard] == [(str(made.id), 1), (str(made.id), 2)]


async def test_the_rail_counts_and_names_what_is_pinned(product: Product, user: User) -> None:
    await dataset_of(product, user)
    pinned = await product.dashboards.create(user.id, 'Load')
    gone = await product.dashboards.create(user.id, 'Gone')
    await product.dashboards.create(user.id, 'Other')
    for one in (pinned, gone):
        await product.dashboards.pin(user.id, one.id, True)
    await product.dashboards.delete(user.id, gone.id)
    rail = await product.dashboards.rail(user.id)
    assert (rail['datasets'], rail['dashboards'], rail['forecasts'], rail['jobs']) == (1, 2, 0, 1)
    assert rail['pinned'] == [{'id': str(pinned.id), 'name': 'Load'}]
    assert not (await product.dashboards.rail((await factories.user(product.database)).id))['dashboards']


async def test_lists_tell_of_panels_without_them(product: Product, user: User) -> None:
    dataset = await dataset_of(product, user)
    drawn = [{'id': name, 'kind': 'line', 'dataset': dataset} for name in ('a', 'b')]
    made = await product.dashboards.create(user.id, 'Load', {'panels': [*drawn, *note('x')['panels']]})
    await product.dashboards.create(user.id, 'Empty')
    told = {one.name: (one.id, one.panels, list(one.datasets)) for one in await product.dashboards.list(user.id)}
    assert told['Load'] == (made.id, 3, [dataset])
    assert told['Empty'][1:] == (0, [])


async def test_a_second_dashboard_of_a_dataset_is_numbered_and_the_list_has_its_shape(
    product: Product, user: User
) -> None:
    rows = b''.join(b'2026-01-%02d,7,%d\n' % (day, day) for day in range(1, 29))
    dataset = await product.bring(user, 'grid.csv', b'time,always,load\n' + rows)
    names = [(await product.dashboards.build(user.id, dataset.id)).name for _ in range(3)]
    assert names == ['grid', 'grid 2', 'grid 3']
    (listed,) = await product.datasets.list(user.id)
    assert len(set(listed.sparkline)) > 1


async def test_dashboards_that_are_built_at_once_have_different_names(product: Product, user: User) -> None:
    dataset = await product.bring(user, 'grid.csv', b'ds,y\n2024-01-01,1\n2024-01-02,2\n')
    await asyncio.gather(*(product.dashboards.build(user.id, dataset.id) for _ in range(4)))
    names = sorted(line.name for line in await product.dashboards.list(user.id))
    assert names == ['grid', 'grid 2', 'grid 3', 'grid 4']


async def test_what_was_deleted_first_gives_way_and_the_most_hold_for_pages_at_once(
    product: Product, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.dashboards.MOST', 3)
    stranger = await factories.user(product.database)
    foreign = await product.dashboards.create(stranger.id, 'Foreign')
    await product.dashboards.delete(stranger.id, foreign.id)
    first, second = [await product.dashboards.create(user.id, name) for name in ('First', 'Second')]
    for one in (first, second):
        await product.dashboards.delete(user.id, one.id)
    await product.dashboards.create(user.id, 'Third')
    await product.dashboards.create(user.id, 'Fourth')
    assert [bool(await product.dashboards.kept_until(user.id, one.id)) for one in (first, second)] == [False, True]
    told = [(entry.action, entry.subject) for entry in await product.accounts.audit(user.id)]
    assert told[:2] == [('dashboard made', 'Fourth'), ('dashboard removed', 'First')]
    done = await asyncio.gather(*(product.dashboards.create(user.id, f'{n}') for n in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ['Conflict', 'Conflict', 'Dashboard']
    assert len(await product.dashboards.list(user.id)) == 3
    with pytest.raises(NotFound):
        await product.dashboards.undelete(user.id, second.id)
    assert await product.dashboards.kept_until(stranger.id, foreign.id)
    assert await product.dashboards.kept_until(user.id, foreign.id) is None


async def test_deleted_dashboards_are_removed_for_good_after_thirty_days(
    product: Product, user: User, postgres: EmbeddedPostgres
) -> None:
    old, recent = [await product.dashboards.create(user.id, name) for name in ('Old', 'Recent')]
    for one in (old, recent):
        await product.dashboards.delete(user.id, one.id)
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        connection.execute(
            "update public.dashboards set deleted_at = deleted_at - interval '31 days' where id = %s", (old.id,)
        )
    await product.removal.sweep()
    assert [bool(await product.dashboards.kept_until(user.id, one.id)) for one in (old, recent)] == [False, True]
    assert await product.dashboards.count_deleted(user.id) == 1
    last, *_ = await product.accounts.audit(user.id)
    assert (last.action, last.subject, last.address) == ('dashboard removed', 'Old', '')


async def test_names_and_versions_of_datasets_are_told_at_once(product: Product, user: User) -> None:
    dataset = UUID(await dataset_of(product, user))
    stranger = await factories.user(product.database)
    shown = await product.datasets.shown(user.id, {dataset, uuid4()})
    assert {one: name for one, (name, _) in shown.items()} == {
        dataset: (await product.datasets.get(user.id, dataset)).name
    }
    assert not await product.datasets.shown(stranger.id, {dataset})


async def test_the_database_bounds_what_is_inserted_past_the_app(user: User, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn('superuser')) as connection:
        (one,) = connection.execute(
            "insert into public.dashboards (user_id, name, spec) values (%s, 'a', '{}') returning id", (user.id,)
        ).fetchone() or (None,)
        connection.execute(
            'insert into public.dashboard_revisions (user_id, dashboard_id, revision, spec)'
            " select %s, %s, n, '{}' from generate_series(1, 60) n",
            (user.id, one),
        )
        kept = connection.execute(
            'select count(*), min(revision) from public.dashboard_revisions where dashboard_id = %s', (one,)
        ).fetchone()
        assert kept == (50, 11)
        large = "jsonb_build_object('a', repeat('a', 200000))"
        for statement in (
            f"insert into public.dashboards (user_id, name, spec) values (%(user)s, 'a', {large})",
            'insert into public.dashboard_revisions (user_id, dashboard_id, revision, spec)'
            f' values (%(user)s, %(one)s, 99, {large})',
            'insert into public.dashboards (user_id, name, spec)'
            " select %(user)s, 'a', '{}' from generate_series(1, 500)",
        ):
            with pytest.raises(psycopg.errors.CheckViolation), connection.transaction():
                connection.execute(statement, {'user': user.id, 'one': one})
        connection.rollback()
