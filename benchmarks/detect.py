"""Whether a file's intended table is read without being told how: `python -m benchmarks.detect`.

Two sets of files are read as `variosync convert --raw` reads them and, as far as they are delimited text, by CleverCSV,
`csv.Sniffer`, pandas and DuckDB's sniffer as well: the dirty files of `tests/dirty` (seeded; 200 and more), and the
polluted files of `tests/dirty/pollution.py` (seeded; every pollution of several tables, each at several places; a
quarter of the places is read, with `--quick` a fiftieth). A file scores the share of cells that stand where they
should: rows are aligned, what is too much counts as what is missing. Beside it stand the F1 scores of names, records
and cells without regard to order, as G. Vitagliano et al. count them ("Pollock: a data loading benchmark", VLDB 2023).
Peers are given the benefit of every doubt: the encoding is found for those that cannot, and a header is never asked of
them.

The peers are installed into a venv of their own below a cache folder (VARIOSYNC_BENCH_CACHE).

Other files are read with `--pairs FOLDER`. Two layouts are known. Either each file `NAME.EXT` stands beside its
intended table `NAME.clean.csv`, or files stand in `FOLDER/csv/` and their tables under the same names in
`FOLDER/clean/`. An intended table is UTF-8, with commas and doubled quotes, its names first; an empty one means that
nothing is in the file. Files without a table are named and left out.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from benchmarks import Figure, report
from tests.dirty import FEW, files
from tests.dirty.pollution import THIRD, polluted

PEERS = ('clevercsv', 'sniffer', 'pandas', 'duckdb')
INSTALLED = ('clevercsv>=0.8', 'pandas>=2.2', 'duckdb>=2.0,<3', 'charset-normalizer>=3.4')
ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.99
TEXTS = ('.csv', '.tsv', '.txt', '.dat', '.tab')
PARTS = ('names', 'records', 'cells')

Table = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file on disk and the table it means; `text` says that peers read such a file too."""

    path: Path
    defect: str
    table: Table
    text: bool
    source: str = ''


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many cells stand in their place, of how many; and the F1 scores of names, records and cells."""

    right: int = 0
    size: int = 1
    names: float = 0.0
    records: float = 0.0
    cells: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and return the exit status: 1 when a figure does not hold."""
    asked = _parser().parse_args(arguments)
    csv.field_size_limit(2**27)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix='detect-') as name:
        folder = Path(name)
        if asked.pairs:
            sets = {'pairs': _pairs(asked.pairs)}
        else:
            sets = {'dirty': _cases(asked, folder), 'polluted': _polluted(asked, folder)}
        for title, made in sets.items():
            cases = list(made)
            if cases:
                figures += _measured(title, cases, asked, folder)
    return report(figures)


def _measured(title: str, cases: list[Case], asked: argparse.Namespace, folder: Path) -> list[Figure]:
    """Read one set of files by all readers, print its classes and give its figures."""
    started = time.process_time()
    ours = {case.path: _score(_ours(case.path, folder), case.table) for case in cases}
    seconds = time.process_time() - started
    peers = {} if asked.no_peers else _peers(cases, folder)
    print(f'{title} files')
    _table(cases, ours, peers, all_classes=asked.all)
    figures = [
        Figure(figure=f'{title}: files', value=len(cases)),
        Figure(figure=f'{title}: CPU seconds a file', value=seconds / len(cases)),
        Figure(figure=f'{title}: cells, mean of files', value=_mean(ours, cases), goal=GOAL, better='more'),
        Figure(figure=f'{title}: cells, all files as one', value=_pooled(ours, cases), goal=GOAL, better='more'),
        Figure(figure=f'{title}: files read exactly', value=sum(s.right == s.size for s in ours.values()) / len(cases)),
        *_halves(title, cases, ours),
        *(Figure(figure=f'{title}: F1 of {part}', value=_f1(ours, cases, part)) for part in PARTS),
    ]
    texts = [case for case in cases if case.text]
    for peer in peers:
        figures.append(Figure(figure=f'{title}, delimited text: {peer}', value=_mean(peers[peer], texts)))
        parts = sum(_f1(peers[peer], texts, part) for part in PARTS) / len(PARTS)
        figures.append(Figure(figure=f'{title}, mean of the F1 scores: {peer}', value=parts))
    if peers:
        mine = _mean(ours, texts)
        best = max(_mean(peers[peer], texts) for peer in peers)
        figures.append(Figure(figure=f'{title}, delimited text: ours', value=mine))
        parts = sum(_f1(ours, texts, part) for part in PARTS) / len(PARTS)
        figures.append(Figure(figure=f'{title}, mean of the F1 scores: ours', value=parts))
        figures.append(Figure(figure=f'{title}: ours above the best peer', value=mine - best, goal=0.0, better='more'))
    return figures


def _halves(title: str, cases: list[Case], ours: dict[Path, Score]) -> list[Figure]:
    """The score of the tables by which rules were tuned, and of those that were kept aside."""
    halves = {'tables tuned by': [], 'tables kept aside': []} if any(case.source for case in cases) else {}
    for case in cases if halves else ():
        halves['tables kept aside' if case.source in THIRD else 'tables tuned by'].append(case)
    figures = []
    for half, part in halves.items():
        exact = sum(ours[case.path].right == ours[case.path].size for case in part) / max(len(part), 1)
        figures.append(Figure(figure=f'{title}: cells, {half}', value=_mean(ours, part)))
        figures.append(Figure(figure=f'{title}: files read exactly, {half}', value=exact))
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.detect', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='the small files alone')
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--no-peers', action='store_true', help='our reader alone')
    parser.add_argument('--all', action='store_true', help='print every class, also those read exactly')
    parser.add_argument('--class', dest='classes', action='append', default=[], metavar='NAME', help='only this class')
    parser.add_argument(
        '--pairs', type=Path, metavar='FOLDER', help='read other files and their intended tables instead'
    )
    return parser


def _cases(asked: argparse.Namespace, folder: Path) -> Iterator[Case]:
    sizes = {'sizes': FEW[:1]} if asked.quick else {}
    for file in files(asked.seed, classes=asked.classes, **sizes):
        path = folder / file.name
        path.write_bytes(file.data)
        yield Case(path=path, defect=file.defect, table=file.table, text=file.text)


def _polluted(asked: argparse.Namespace, folder: Path) -> Iterator[Case]:
    for file in polluted(asked.seed, pollutions=asked.classes, share=0.02 if asked.quick else 0.25):
        path = folder / file.name
        path.write_bytes(file.data)
        yield Case(path=path, defect=file.pollution, table=file.table, text=True, source=file.source)


def _pairs(folder: Path) -> Iterator[Case]:
    for path, clean in _paired(folder):
        with clean.open(newline='', encoding='utf-8-sig') as file:
            table = [row for row in csv.reader(file) if row]
        yield Case(path=path, defect=path.name, table=table, text=path.suffix.lower() in TEXTS)


def _paired(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The files of a folder with their intended tables."""
    if (folder / 'csv').is_dir() and (folder / 'clean').is_dir():
        for path in sorted((folder / 'csv').iterdir()):
            clean = folder / 'clean' / path.name
            if clean.is_file():
                yield path, clean
            else:
                print(f'{path.name}: left out, for {clean} is missing', file=sys.stderr)
        return
    for path in sorted(folder.iterdir()):
        clean = path.with_name(f'{path.stem}.clean.csv')
        if path.name.endswith('.clean.csv') or not path.is_file():
            continue
        if clean.is_file():
            yield path, clean
        else:
            print(f'{path.name}: left out, for {clean} is missing', file=sys.stderr)


def _ours(path: Path, folder: Path) -> Table:
    """What `convert --raw` writes; nothing where it answers with an error."""
    from core.analysis.ingest.reader import read, write_raw_csv
    from core.errors import VariosyncError

    out = folder / 'ours.csv'
    with tempfile.TemporaryDirectory(prefix='ours-', dir=folder) as work:
        try:
            write_raw_csv(read(path, name=path.name, workdir=Path(work)), out)
        except VariosyncError as error:
            print(f'{path.name}: {error}', file=sys.stderr)
            return []
    with out.open(newline='', encoding='utf-8') as file:
        return list(csv.reader(file))


def _score(found: Table, intended: Table) -> Score:
    """The score of a table that was read; where nothing is meant, nothing is right."""
    found = [row for row in found if row]
    if found == intended:
        size = sum(map(len, intended)) or 1
        return Score(right=size, size=size, names=1.0, records=1.0, cells=1.0)
    right = 0
    aligned = SequenceMatcher(None, [tuple(row) for row in intended], [tuple(row) for row in found], autojunk=False)
    for tag, i1, i2, j1, j2 in aligned.get_opcodes():
        if tag == 'equal':
            right += sum(len(row) for row in intended[i1:i2])
        elif tag == 'replace':
            for mine, theirs in zip(intended[i1:i2], found[j1:j2], strict=False):
                right += sum(a == b for a, b in zip(mine, theirs, strict=False))
    return Score(
        right=right,
        size=max(sum(map(len, intended)), sum(map(len, found)), 1),
        names=_overlap(intended[0] if intended else (), found[0] if found else ()),
        records=_overlap(map(tuple, intended[1:]), map(tuple, found[1:])),
        cells=_overlap(*([cell for row in table[1:] for cell in row] for table in (intended, found))),
    )


def _overlap(meant: Iterable[Hashable], read: Iterable[Hashable]) -> float:
    """F1 of two bags of things: the harmonic mean of precision and recall; 1 where both are empty."""
    one, other = Counter(meant), Counter(read)
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def _mean(scores: dict[Path, Score], cases: Sequence[Case]) -> float:
    return sum(scores[case.path].right / scores[case.path].size for case in cases) / max(len(cases), 1)


def _pooled(scores: dict[Path, Score], cases: Sequence[Case]) -> float:
    return sum(scores[case.path].right for case in cases) / sum(scores[case.path].size for case in cases)


def _f1(scores: dict[Path, Score], cases: Sequence[Case], part: str) -> float:
    return sum(getattr(scores[case.path], part) for case in cases) / max(len(cases), 1)


def _peers(cases: Sequence[Case], folder: Path) -> dict[str, dict[Path, Score]]:
    """The scores of the peers, each of which reads in one child process."""
    python = _installed()
    found: dict[str, dict[Path, Score]] = {}
    tables = {case.path: case.table for case in cases if case.text}
    for peer in PEERS:
        scores = dict.fromkeys(tables, Score())
        command = [str(python), str(ROOT / 'benchmarks' / 'detect_peers.py'), peer]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        for path, table in tables.items():
            child.stdin.write(f'{path}\n')
            child.stdin.flush()
            scores[path] = _score(json.loads(child.stdout.readline() or '[]'), table)
        child.stdin.close()
        child.wait()
        found[peer] = scores
    return found


def _installed() -> Path:
    """The Python of the peers' venv, made when there is none."""
    cache = Path(os.environ.get('VARIOSYNC_BENCH_CACHE', Path.home() / '.cache' / 'variosync'))
    home = cache / 'peers'
    python = home / 'bin' / 'python'
    done = home / 'done'
    wanted = '\n'.join(INSTALLED)
    if not done.exists() or done.read_text() != wanted:
        print(f'Installing {", ".join(INSTALLED)} into {home}', file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), '-m', 'pip', 'install', '-q', *INSTALLED], check=True, stdout=sys.stderr)
        done.write_text(wanted)
    return python


def _table(
    cases: Sequence[Case], ours: dict[Path, Score], peers: dict[str, dict[Path, Score]], *, all_classes: bool
) -> None:
    """Print the classes that are not read exactly, with the peers' scores beside."""
    by_class: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_class[case.defect].append(case)
    print(f'{"class":<34}{"files":>6}{"ours":>9}' + ''.join(f'{peer:>11}' for peer in peers))
    exact = 0
    for defect, members in by_class.items():
        score = _mean(ours, members)
        if score == 1 and not all_classes:
            exact += 1
            continue
        rest = ''.join(f'{_mean(peers[peer], members):>11.4f}' if members[0].text else f'{"":>11}' for peer in peers)
        print(f'{defect:<34}{len(members):>6}{score:>9.4f}{rest}')
    print(f'{exact} of {len(by_class)} classes are read exactly and not listed.\n')


if __name__ == '__main__':
    sys.exit(main())
