"""What is read of a stored version: no more than holds what is asked, and old files are read alike."""

import json
import threading
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from core.analysis.query.engine import answer
from core.analysis.query.places import Places, Run
from core.analysis.query.request import Query
from core.analysis.query.row_groups import Blocks, File, Steady
from core.analysis.query.stored import Stored
from core.analysis.query.wire import encode
from core.errors import Unavailable
from tests.unit.analysis.query.versions import BEGUN, HOUR, MINUTE, Version, version, walk

LABELS = ('a', 'b', 'c', 'd')
SIZES = (12_000, 300, 9_000, 6_000)


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Series of several row groups, of a part of one, and across two files; all begin at the same time."""
    held = {label: walk(size, seed=at) for at, (label, size) in enumerate(zip(LABELS, SIZES, strict=True))}
    return version(tmp_path_factory.mktemp('stored'), held, keys=())


def opened(folder: Path) -> Stored:
    return Stored(
        sorted(folder.glob('data-*')),
        folder / 'pyramid.parquet',
        folder / 'series.parquet',
        measures=('y', 'other', 'cents'),
        blocks=Blocks(),
    )


def test_rows_of_a_range_are_those_that_lie_in_it(made: Version) -> None:
    draw = np.random.default_rng(5)
    for label in LABELS:
        t = made.held[label]['t']
        for _ in range(60):
            start, end = np.sort(draw.choice(t, 2) + draw.integers(-1, 2, 2)).tolist()
            rows = made.stored.rows(label, ['other'], start=start, end=end)
            inside = (t >= start) & (t <= end)
            assert rows.t.tolist() == t[inside].tolist()
            assert rows.columns['other'].tolist() == made.held[label]['other'][inside].tolist()
            assert made.stored.size(label, start=start, end=end) == inside.sum()


def test_values_by_size_are_those_of_the_range(made: Version) -> None:
    draw, stored = np.random.default_rng(7), opened(Path(made.stored.pyramid.file.path).parent)
    for label in LABELS:
        t = made.held[label]['t']
        for _ in range(30):
            start, end = np.sort(draw.choice(t, 2) + draw.integers(-1, 2, 2)).tolist()
            runs = list(stored.ordered(label, 'other', start=start, end=end))
            assert all((np.diff(run) >= 0).all() for run in runs)
            _, v = made.values(label, 'other', start, end)
            assert np.sort(np.concatenate([[], *runs])).tolist() == np.sort(v).tolist()
            assert len(t[(start <= t) & (t <= end)]) <= stored.about(label, start=start, end=end) <= len(t)


def test_times_one_step_apart_are_told_by_it() -> None:
    draw = np.random.default_rng(8)
    for step in (1, 7, MINUTE):
        t = BEGUN + step * np.arange(50)
        steady = Steady.of(t)
        assert steady is not None
        assert steady[0:50].tolist() == t.tolist()
        assert steady[7:7].tolist() == []
        for at in [*t.tolist(), *draw.integers(BEGUN - 3 * step, BEGUN + 60 * step, 200).tolist()]:
            assert steady.places(at) == np.searchsorted(t, at)
    for t in ([], [5], [5, 5], [5, 4], [1, 2, 4]):
        assert Steady.of(np.array(t, dtype=np.int64)) is None


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often columns are read."""
    counted: Counter[str] = Counter()
    group = File.group

    def counting(self: File, at: int, columns: list[str]) -> Any:
        counted.update(columns)
        counted['reads'] += 1
        return group(self, at, columns)

    monkeypatch.setattr(File, 'group', counting)
    return counted


def test_a_row_group_is_read_once_and_its_neighbours_are_not(
    made: Version, reads: Counter[str], tmp_path: Path
) -> None:
    folder = Path(made.stored.pyramid.file.path).parent
    for label, start, count in (('a', 5600, 900), ('a', 100, 50), ('c', 4000, 300), ('d', 5000, 900)):
        fresh, t = opened(folder), made.held[label]['t']
        reads.clear()
        query = Query(
            measures=('y', 'other'), series=(label,), start=int(t[start]), end=int(t[start + count]), width=2000
        )
        answer(fresh, query)
        assert reads == {'reads': 1, '_time': 1, 'y': 1, 'other': 1}


def test_regular_times_are_read_once(tmp_path: Path, reads: Counter[str]) -> None:
    """However little is kept of the values beside them."""
    held = {
        label: {'t': BEGUN + MINUTE * np.arange(9000), 'y': np.sin(np.arange(9000.0) + at)}
        for at, label in enumerate('ab')
    }
    made = version(tmp_path, held, keys=())
    small = Stored(
        sorted(tmp_path.glob('data-*')), tmp_path / 'pyramid.parquet', tmp_path / 'series.parquet', measures=('y',),
        blocks=Blocks(limit=0),
    )  # fmt: skip
    reads.clear()
    for _ in range(3):
        for label in 'ab':
            start, end = BEGUN + 10 * MINUTE + 1, BEGUN + 7000 * MINUTE - 1
            rows = small.rows(label, ['y'], start=start, end=end)
            assert rows.t.tolist() == held[label]['t'][11:7000].tolist()
            assert rows.columns['y'].tolist() == held[label]['y'][11:7000].tolist()
    groups = len(small._groups)
    assert groups <= reads['_time'] <= groups + 1  # one holds the end of a series and the beginning of the next
    assert reads['y'] > 2 * groups
    assert encode(answer(small, QUESTIONS[3])) == encode(answer(made.stored, QUESTIONS[3]))


def test_the_ends_of_a_line_are_those_of_its_values(made: Version) -> None:
    for label in ('a', 'c', 'd'):
        t, _ = made.values(label, 'y', 0, 2**62)
        assert made.stored.pyramid.ends(made.stored.pyramid.line('y', label)) == (t[0], t[-1])


def test_where_lines_lie_is_not_looked_for_in_rows(made: Version, reads: Counter[str]) -> None:
    fresh = opened(Path(made.stored.pyramid.file.path).parent)
    reads.clear()
    assert {label for label in LABELS if fresh.pyramid.line('y', label)} == {'a', 'c', 'd'}
    assert fresh.pyramid.line('y', 'e') is None
    assert fresh.pyramid.line('none', 'a') is None
    assert reads == {}


QUESTIONS = (
    Query(measures=('y', 'other', 'cents'), series=('c',), width=300),
    Query(measures=('y',), series=('a',), start=BEGUN + 7 * MINUTE, end=BEGUN + 150 * HOUR, width=90),
    Query(kind='envelope', measures=('y',), series=('d',), width=60),
    Query(kind='buckets', measures=('y',), every='P1D', group='*', aggregation='sum'),
)


def test_a_pyramid_that_does_not_tell_where_lines_lie_is_read(
    made: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('core.analysis.ingest.pyramid.MOST_RUNS', 0)
    monkeypatch.setattr('core.analysis.ingest.pyramid.ROW_GROUP', 2048)
    older = version(tmp_path, made.held, keys=())
    assert older.stored.pyramid._placed is None
    for label in LABELS:
        known, told = older.stored.pyramid.line('y', label), made.stored.pyramid.line('y', label)
        assert (known is None) == (told is None)
        if known and told:
            assert [(one.width, one.size) for one in known.levels] == [(one.width, one.size) for one in told.levels]
            assert known.gap == told.gap
    for query in QUESTIONS:
        assert encode(answer(older.stored, query)) == encode(answer(made.stored, query))


OLDER = (
    '* EXCLUDE (first_after, last_after), start + first_after AS first, start + last_after AS last',
    '* EXCLUDE (first_after, last_after, low_after, high_after), start + low_after AS low_at,'
    ' start + high_after AS high_at, start + first_after AS first, start + last_after AS last',
)


@pytest.mark.parametrize('columns', OLDER, ids=['ends', 'all times'])
def test_pyramids_that_tell_times_as_they_are_are_read(made: Version, tmp_path: Path, columns: str) -> None:
    folder = Path(made.stored.pyramid.file.path).parent
    for path in folder.glob('*.parquet'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    duckdb.sql(f"COPY (SELECT {columns} FROM '{folder}/pyramid.parquet') TO '{tmp_path}/pyramid.parquet'")
    for query in QUESTIONS:
        assert encode(answer(opened(tmp_path), query)) == encode(answer(made.stored, query))


@pytest.fixture(scope='module')
def cut(made: Version, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The same beside a line that lies in several row groups of the pyramid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('core.analysis.ingest.pyramid.ROW_GROUP', 2048)
        return version(tmp_path_factory.mktemp('cut'), made.held | {'e': walk(150_000, seed=9)}, keys=())


def test_pieces_of_a_level_beside_the_range_are_not_read(cut: Version, reads: Counter[str]) -> None:
    level = cut.stored.pyramid.line('y', 'e').levels[0]
    assert len(level.pieces) > 1
    starts = cut.stored.pyramid.figures(level, ['start', 'n'], start=0, end=2**62)['start'].tolist()
    assert reads['n'] == len(level.pieces)
    reads.clear()
    fresh = opened(Path(cut.stored.pyramid.file.path).parent)
    found, buckets = fresh.pyramid.level(level, start=starts[0], end=starts[9])
    assert (found.tolist(), reads['high']) == (starts[:10], 1)
    inside = cut.values('e', 'y', starts[0], starts[10] - 1)[1]
    assert (buckets.n.sum(), buckets.low.min(), buckets.high.max()) == (len(inside), inside.min(), inside.max())


def test_lines_may_lie_in_several_row_groups(made: Version, cut: Version) -> None:
    for query in QUESTIONS[:3]:
        assert encode(answer(cut.stored, query)) == encode(answer(made.stored, query))
    (line,) = answer(cut.stored, Query(measures=('y',), series=('e',), width=300)).lines
    _, y = cut.values('e', 'y', 0, 2**62)
    known = ~np.isnan(line.columns['y'])
    assert (line.n, line.columns['y'][known].min(), line.columns['y'][known].max()) == (len(y), y.min(), y.max())


class Far:
    """Files behind addresses; opening waits until another is asked for at the same time while `together` says so."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._met = folder, threading.Barrier(2)
        self.together = True

    def open(self, path: str, mode: str) -> Any:
        name = path.removeprefix('far://')
        if self.together and name.startswith('data-'):
            self._met.wait(30)
        return (self._folder / name).open(mode)


def test_what_lies_far_away_is_asked_for_together(made: Version) -> None:
    system = Far(Path(made.stored.pyramid.file.path).parent)
    names = ('data-00000.parquet', 'data-00001.parquet', 'pyramid.parquet', 'series.parquet')
    *parts, pyramid, series = (f'far://{name}' for name in names)
    far = Stored(parts, pyramid, series, measures=('y', 'other', 'cents'), system=system, blocks=Blocks())
    span = far.span(['d'])
    assert span is not None
    found = far.rows('d', ['y'], start=span[0], end=span[1])  # lies in two row groups
    system.together = False
    assert found.t.tolist() == made.held['d']['t'].tolist()
    for query in (*QUESTIONS, Query(kind='histogram', measures=('y',), group='*', start=span[0] + 1)):
        assert encode(answer(far, query)) == encode(answer(made.stored, query))


def test_what_footers_take_is_counted(made: Version, tmp_path: Path) -> None:
    folder = Path(made.stored.pyramid.file.path).parent
    for path in folder.glob('*.parquet'):
        rows = 500 if path.name.startswith('data-') else 100_000
        footer = pq.read_metadata(path).metadata
        pq.write_table(pq.read_table(path).replace_schema_metadata(footer), tmp_path / path.name, row_group_size=rows)
    assert opened(tmp_path).nbytes > 2 * made.stored.nbytes


def test_footers_without_statistics_are_read(made: Version, tmp_path: Path) -> None:
    folder = Path(made.stored.pyramid.file.path).parent
    for path in folder.iterdir():
        kept = {'write_statistics': False, 'row_group_size': 5000} if path.name.startswith('data-') else {}
        if kept:
            pq.write_table(pq.read_table(path), tmp_path / path.name, **kept)
        elif path.suffix == '.parquet':
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for query in QUESTIONS:
        assert encode(answer(opened(tmp_path), query)) == encode(answer(made.stored, query))


@pytest.mark.parametrize('told', ['damaged', 'too few'])
def test_places_that_cannot_be_right_are_told_of(made: Version, tmp_path: Path, told: str) -> None:
    folder = Path(made.stored.pyramid.file.path).parent
    for path in folder.glob('*.parquet'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    few = zlib.compress(json.dumps({'measures': [], 'series': [], 'runs': [[]] * 6}).encode())
    text = {'damaged': 'x', 'too few': "'::BLOB || from_hex('" + few.hex() + "') || '"}[told]
    form = f"FORMAT parquet, KV_METADATA {{lines: '{text}'}}"
    duckdb.sql(f"COPY (FROM '{folder}/pyramid.parquet') TO '{tmp_path}/pyramid.parquet' ({form})")
    with pytest.raises(Unavailable, match='Convert the file again'):
        opened(tmp_path)


def test_runs_of_lines_follow_one_another() -> None:
    told = {
        'measures': ['load', 'y'],
        'series': ['a', 'ä'],
        'runs': [[0, 0, 1], [0, 0, 1], [0, 1, 0], [60, 240, 7], [2, 2, 3], [9, 3, 5]],
    }
    places = Places(zlib.compress(json.dumps(told).encode()))
    assert places.rows == 17
    assert places.runs('load', 'a') == [
        Run(level=0, width=60, gap=2, begin=0, end=9), Run(level=1, width=240, gap=2, begin=9, end=12)
    ]  # fmt: skip
    assert places.runs('y', 'ä') == [Run(level=0, width=7, gap=3, begin=12, end=17)]
    assert places.runs('y', 'a') == places.runs('y', 'b') == places.runs('z', 'a') == []
    for damaged in (b'', b'x', zlib.compress(b'{}'), zlib.compress(b'[1]'), zlib.compress(b'{"measures')):
        with pytest.raises(ValueError, match='damaged'):
            Places(damaged)
