"""The record: an issued forecast beside what came, in sums that add up and come out the same again."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis import evaluate, record
from core.analysis.forecasting import Request, forecast
from core.errors import NotFound
from tests.unit.analysis.stored import store

START = datetime(2024, 1, 1)
DAYS, H, SEASON = 70, 10, 7


def series(name: str, days: int = DAYS, *, factor: float = 1.0) -> pl.DataFrame:
    """A daily series with a week in it."""
    day = np.arange(days)
    y = factor * (50 + 10 * (day % SEASON) + np.sin(day * 1.7) * 3)
    return pl.DataFrame({'unique_id': [name] * days, 'ds': [START + timedelta(days=int(d)) for d in day], 'y': y})


def whole() -> pl.DataFrame:
    return pl.concat([series('a', DAYS + H), series('b', DAYS + H, factor=3)])


def past() -> pl.DataFrame:
    return whole().filter(pl.col('ds') < START + timedelta(days=DAYS))


@pytest.fixture(scope='module')
def rows() -> pl.DataFrame:
    """What seasonal naive made of the past."""
    return forecast(past(), Request(h=H, models=('seasonal_naive',), levels=(80, 95)))


@pytest.fixture(scope='module')
def known(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp('history') / 'history.parquet'
    past().write_parquet(path)
    return record.read_panel([path], freq=None)


def total(scored: dict[str, Any], name: str) -> float:
    return sum(block[name] for block in scored['blocks'])


def test_sums_give_the_scores_of_evaluate(rows: pl.DataFrame, known: Any) -> None:
    found = record.score(rows, known, whole())
    assert (found['points'], found['reaches']) == (2 * H, True)
    assert [(block['first'], block['last'], block['points']) for block in found['blocks']] == [
        (1, 1, 2), (2, 2, 2), (3, 3, 2), (4, 6, 6), (7, 10, 8),
    ]  # fmt: skip
    came = whole().filter(pl.col('ds') >= START + timedelta(days=DAYS))
    mase, smape, sql, inside = [], [], [], 0
    for name in ('a', 'b'):
        own, y = rows.filter(pl.col('unique_id') == name), came.filter(pl.col('unique_id') == name)['y'].to_numpy()
        history, mean = past().filter(pl.col('unique_id') == name)['y'].to_numpy(), own['mean'].to_numpy()
        quantiles = [0.025, 0.1, 0.5, 0.9, 0.975]
        drawn = own.select([f'q{q:g}' for q in quantiles]).to_numpy()
        mase.append(evaluate.mase(y, mean, history, SEASON))
        smape.append(evaluate.smape(y, mean))
        sql.append(evaluate.sql(y, drawn, quantiles, history, SEASON))
        inside += int(((y >= drawn[:, 1]) & (y <= drawn[:, 3])).sum())
    assert total(found, 'abs') / total(found, 'scaled') == pytest.approx(np.mean(mase))
    assert total(found, 'smape') / total(found, 'points') == pytest.approx(np.mean(smape))
    assert total(found, 'pinball') / total(found, 'drawn') == pytest.approx(np.mean(sql))
    assert total(found, 'square') > 0
    levels = [block['levels']['80'] for block in found['blocks']]
    assert sum(level['inside'] for level in levels) == inside
    assert sum(level['points'] for level in levels) == 2 * H
    assert all(block['levels']['95']['width'] > block['levels']['80']['width'] > 0 for block in found['blocks'])


def test_scoring_again_gives_the_same_numbers(rows: pl.DataFrame, known: Any) -> None:
    again = whole().sample(fraction=1, shuffle=True, seed=1).sort('unique_id', 'ds')
    assert record.score(rows.reverse(), known, again) == record.score(rows, known, whole())


def test_what_has_not_come_is_not_scored(rows: pl.DataFrame, known: Any) -> None:
    early = whole().filter(pl.col('ds') < START + timedelta(days=DAYS + 2))
    found = record.score(rows, known, early)
    assert (found['points'], [block['first'] for block in found['blocks']]) == (4, [1, 2])
    whole_blocks = record.score(rows, known, whole())['blocks']
    assert found['blocks'] == whole_blocks[:2]
    nothing = record.score(rows, known, past())
    assert nothing == {
        'points': 0, 'reaches': False, 'complete': False, 'since': None, 'until': None, 'blocks': [],
    }  # fmt: skip


def test_missing_values_and_unknown_series_are_left_out(rows: pl.DataFrame, known: Any) -> None:
    holes = whole().with_columns(
        pl.when(pl.col('ds') == START + timedelta(days=DAYS + 1)).then(None).otherwise(pl.col('y')).alias('y')
    )
    assert record.score(rows, known, holes)['points'] == 2 * (H - 1)
    assert record.score(rows, known, holes.filter(pl.col('unique_id') == 'a'))['points'] == H - 1
    infinite = whole().with_columns(pl.lit(float('inf')).alias('y'))
    assert record.score(rows, known, infinite)['points'] == 0


def test_a_file_that_holds_only_the_latest_rows_does_not_reach_back(rows: pl.DataFrame, known: Any) -> None:
    late = whole().filter(pl.col('ds') >= START + timedelta(days=DAYS + 4))
    found = record.score(rows, known, late)
    assert (found['points'], found['reaches']) == (2 * (H - 4), False)
    new_rows = whole().filter(pl.col('ds') >= START + timedelta(days=DAYS))
    assert record.score(rows, known, new_rows)['reaches']


def test_a_version_without_one_of_the_series_does_not_reach_back(rows: pl.DataFrame, known: Any) -> None:
    found = record.score(rows, known, whole().filter(pl.col('unique_id') == 'a'))
    assert (found['points'], found['reaches']) == (H, False)
    ended = whole().filter((pl.col('unique_id') == 'a') | (pl.col('ds') < START + timedelta(days=DAYS)))
    found = record.score(rows, known, ended)
    assert (found['points'], found['reaches']) == (H, True)


def test_stamps_off_the_grid_count_for_the_nearest_step(rows: pl.DataFrame, known: Any) -> None:
    shifted = whole().with_columns(pl.col('ds') + timedelta(hours=2))
    assert record.score(rows, known, shifted) == record.score(rows, known, whole())
    first = whole().filter(pl.col('ds') == START + timedelta(days=DAYS)).with_columns(pl.col('y') * 0)
    twice = pl.concat([first, whole()])
    assert record.score(rows, known, twice) == record.score(rows, known, whole())


def test_a_constant_history_has_no_scale_but_a_coverage(tmp_path: Path) -> None:
    flat = past().with_columns(pl.lit(4.0).alias('y'))
    flat.write_parquet(tmp_path / 'history.parquet')
    rows = forecast(flat, Request(h=3, models=('seasonal_naive',), levels=(80,)))
    found = record.score(rows, record.read_panel([tmp_path / 'history.parquet'], freq=None), whole())
    assert found['points'] == 6
    for block in found['blocks']:
        assert (block['scaled'], block['abs'], block['drawn'], block['levels']['80']['inside']) == (0, 0.0, 0, 0)
        assert block['levels']['80']['points'] == block['points']


def test_a_series_whose_forecast_failed_is_not_scored(rows: pl.DataFrame, known: Any) -> None:
    failed = rows.with_columns(
        *(
            pl.when(pl.col('unique_id') == 'b').then(None).otherwise(pl.col(name)).alias(name)
            for name in rows.columns
            if name == 'mean' or name.startswith('q')
        )
    )
    assert record.score(failed, known, whole())['points'] == H


def test_a_width_is_measured_where_a_band_was_drawn(rows: pl.DataFrame, known: Any) -> None:
    bare = pl.when(pl.col('unique_id') == 'b').then(None)
    some = rows.with_columns(*(bare.otherwise(pl.col(name)).alias(name) for name in ('q0.1', 'q0.9')))
    level, alone = (
        [block['levels']['80'] for block in record.score(one, known, whole())['blocks']]
        for one in (some, rows.filter(pl.col('unique_id') == 'a'))
    )
    assert level == alone
    assert sum(block['scaled'] for block in level) == H


def test_a_score_is_complete_when_the_version_goes_on_after_the_last_step(rows: pl.DataFrame, known: Any) -> None:
    longer = pl.concat([series('a', DAYS + H + 1), series('b', DAYS + H + 1, factor=3)])
    hole = longer.filter(pl.col('ds') != START + timedelta(days=DAYS + 3))
    cut = whole().filter(pl.col('ds') < START + timedelta(days=DAYS + H - 1))
    late = longer.filter(pl.col('ds') > START + timedelta(days=DAYS + 3))
    found = [record.score(rows, known, one) for one in (whole(), longer, hole, cut, late)]
    assert [one['complete'] for one in found] == [True, True, True, False, False]
    assert {(one['since'], one['until']) for one in found} == {
        ('2024-03-10 00:00:00+00:00', '2024-03-21T00:00:00.000000+00:00')
    }


def test_changes_are_the_days_where_values_of_two_versions_differ(tmp_path: Path) -> None:
    before, after = tmp_path / 'before', tmp_path / 'after'
    before.mkdir()
    after.mkdir()

    def ranges(old: pl.DataFrame, new: pl.DataFrame) -> list[list[str]]:
        found = record.changes(parts(before, old), parts(after, new), target='y', workdir=tmp_path)
        return [[end[:10] for end in one] for one in found]

    longer = pl.concat([series('a', DAYS + H + 2), series('b', DAYS + H, factor=3)]).filter(pl.col('ds') > START)
    corrected = whole().with_columns(
        pl.when(pl.col('ds') == START + timedelta(3)).then(0).otherwise(pl.col('y')).alias('y')
    )
    twice = pl.concat([whole()[:1].with_columns(pl.lit(1.0).alias('y')), whole()])
    assert ranges(whole(), whole()) == []
    assert ranges(whole(), longer) == [['2024-01-01', '2024-01-02'], ['2024-03-21', '2024-03-23']]
    assert ranges(whole(), corrected) == [['2024-01-04', '2024-01-05']]
    assert ranges(twice, whole()) == [['2024-01-01', '2024-01-02']]
    apart = whole().filter(pl.col('ds').dt.day() % 2 == 0)
    assert len(ranges(whole(), apart)) > 30


def test_many_ranges_of_changes_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, 'MOST_RANGES', 2)
    before, after = tmp_path / 'before', tmp_path / 'after'
    before.mkdir()
    after.mkdir()
    apart = whole().filter(pl.col('ds').dt.day() % 2 == 0)
    found = record.changes(parts(before, whole()), parts(after, apart), target='y', workdir=tmp_path)
    assert found == [['2024-01-01T00:00+00:00', '2024-03-20T00:00+00:00']]


def stored(folder: Path, rows: pl.DataFrame, history: pl.DataFrame, **asked: Any) -> dict[str, Any]:
    """An issued file and its history in a folder, as a payload names them."""
    rows.write_parquet(folder / 'forecast.parquet')
    history.write_parquet(folder / 'history.parquet')
    sha256 = hashlib.sha256((folder / 'forecast.parquet').read_bytes()).hexdigest()
    plain = {'target': 'y', 'series': [], 'step': None, 'aggregate': 'mean'}
    return {'id': 'i', 'key': 'forecast.parquet', 'sha256': sha256, 'history': ['history.parquet'], **plain, **asked}


def parts(folder: Path, frame: pl.DataFrame) -> list[Path]:
    stamps = frame['ds'].dt.epoch('us')
    return store(folder, [(n, t, y, None) for n, t, y in zip(frame['unique_id'], stamps, frame['y'], strict=True)])


def quiet(part: float, text: str) -> None:
    return


def test_files_of_a_version_are_scored_as_their_frames_are(rows: pl.DataFrame, known: Any, tmp_path: Path) -> None:
    issued = stored(tmp_path, rows, past())
    (found,) = record.scores(
        parts(tmp_path, whole()), [issued], fetch=tmp_path.joinpath, workdir=tmp_path, progress=quiet
    )
    assert found == {'id': 'i', **record.score(rows, known, whole())}
    only = stored(tmp_path, rows, past(), series=['a'])
    (found,) = record.scores(
        parts(tmp_path, whole()), [only], fetch=tmp_path.joinpath, workdir=tmp_path, progress=quiet
    )
    assert found['points'] == H


def test_folded_forecasts_are_scored_on_folded_values_without_an_unfinished_step(tmp_path: Path) -> None:
    folded = past().group_by_dynamic('ds', every='1w', group_by='unique_id').agg(pl.col('y').sum())
    folded = folded.select('unique_id', 'ds', 'y').sort('unique_id', 'ds')
    rows = forecast(folded, Request(h=4, freq='W-MON', models=('seasonal_naive',), levels=(80,)))
    issued = stored(tmp_path, rows, folded, step='W-MON', aggregate='sum')
    found = record.scores(parts(tmp_path, whole()), [issued], fetch=tmp_path.joinpath, workdir=tmp_path, progress=quiet)
    assert found[0]['points'] == 2
    assert found[0]['blocks'][0]['abs'] < 1


def test_a_file_that_is_lost_or_not_what_was_issued_is_named_and_the_rest_is_scored(
    rows: pl.DataFrame, known: Any, tmp_path: Path
) -> None:
    good = stored(tmp_path, rows, past())
    changed, lost = good | {'id': 'c', 'sha256': '0' * 64}, good | {'id': 'l', 'key': 'lost.parquet'}

    def fetch(key: str) -> Path:
        if key == 'lost.parquet':
            raise NotFound('Nothing is stored there.')
        return tmp_path / key

    found = record.scores(
        parts(tmp_path, whole()), [changed, lost, good], fetch=fetch, workdir=tmp_path, progress=quiet
    )
    assert [one.get('problem') for one in found] == [
        'The stored forecast is not what was issued.',
        'Nothing is stored there.',
        None,
    ]
    assert [one['points'] for one in found] == [0, 0, 2 * H]


def test_a_torn_file_is_named_and_those_beside_it_are_scored(rows: pl.DataFrame, tmp_path: Path) -> None:
    good = stored(tmp_path, rows, past())
    whole_file = (tmp_path / 'forecast.parquet').read_bytes()
    (tmp_path / 'torn.parquet').write_bytes(whole_file[: len(whole_file) // 2])
    (tmp_path / 'bare.parquet').write_bytes(b'PAR1')
    torn = [good | {'id': 't', 'key': 'torn.parquet'}, good | {'id': 'h', 'history': ['bare.parquet']}]
    found = record.scores(
        parts(tmp_path, whole()), [good, *torn], fetch=tmp_path.joinpath, workdir=tmp_path, progress=quiet
    )
    assert [one.get('problem') for one in found] == [
        None,
        'The stored forecast is not what was issued.',
        'What the forecast was made from cannot be read.',
    ]
    assert [one['points'] for one in found] == [2 * H, 0, 0]


def test_code_version_names_the_program_and_its_code() -> None:
    name, _, digest = record.code_version().partition('+')
    assert name
    assert len(digest) == 12
