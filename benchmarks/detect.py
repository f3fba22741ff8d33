"""Whether a file's intended table is read without being told how: `python -m benchmarks.detect`.

The dirty files of `tests/dirty` (seeded; 200 and more) are read as `variosync convert --raw` reads them and, as far as
they are delimited text, by CleverCSV, `csv.Sniffer`, pandas and DuckDB's sniffer as well. A file scores the share of
cells that stand where they should: rows are aligned, what is too much counts as what is missing. Peers are given the
benefit of every doubt: the encoding is found for those that cannot, and a header is never asked of them.

The peers are installed into a venv of their own below a cache folder (VARIOSYNC_BENCH_CACHE). Other folders of files
are read with `--pairs FOLDER`: each `x.csv` beside its intended `x.clean.csv`.
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
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from benchmarks import Figure, report
from tests.dirty import FEW, files

PEERS = ('clevercsv', 'sniffer', 'pandas', 'duckdb')
INSTALLED = ('clevercsv>=0.8', 'pandas>=2.2', 'duckdb>=2.0,<3', 'charset-normalizer>=3.4')
ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.99

Table = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file on disk and the table it means; `text` says that peers read such a file too."""

    path: Path
    defect: str
    table: Table
    text: bool


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and return the exit status: 1 when a figure does not hold."""
    asked = _parser().parse_args(arguments)
    csv.field_size_limit(2**27)
    with tempfile.TemporaryDirectory(prefix='detect-') as folder:
        cases = list(_pairs(asked.pairs)) if asked.pairs else list(_cases(asked, Path(folder)))
        started = time.process_time()
        ours = {case.path: _score(_ours(case.path, Path(folder)), case.table) for case in cases}
        seconds = time.process_time() - started
        peers = {} if asked.no_peers else _peers(cases, Path(folder))
    _table(cases, ours, peers, all_classes=asked.all)
    figures = [
        Figure(figure='files', value=len(cases)),
        Figure(figure='CPU seconds a file', value=seconds / len(cases)),
        Figure(
            figure='cells of the intended tables, mean of files', value=_mean(ours, cases), goal=GOAL, better='more'
        ),
        Figure(figure='cells, all files as one', value=_pooled(ours, cases), goal=GOAL, better='more'),
        Figure(figure='files read exactly', value=sum(a == b for a, b in ours.values()) / len(cases)),
    ]
    texts = [case for case in cases if case.text]
    mine = _mean(ours, texts)
    for peer in peers:
        figures.append(Figure(figure=f'delimited text: {peer}', value=_mean(peers[peer], texts)))
    if peers:
        best = max(_mean(peers[peer], texts) for peer in peers)
        figures.append(Figure(figure='delimited text: ours', value=mine))
        figures.append(Figure(figure='ours above the best peer', value=mine - best, goal=0.0, better='more'))
    return report(figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.detect', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='the small files alone')
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--no-peers', action='store_true', help='our reader alone')
    parser.add_argument('--all', action='store_true', help='print every class, also those read exactly')
    parser.add_argument('--class', dest='classes', action='append', default=[], metavar='NAME', help='only this class')
    parser.add_argument('--pairs', type=Path, metavar='FOLDER', help='read x.csv beside x.clean.csv instead')
    return parser


def _cases(asked: argparse.Namespace, folder: Path) -> Iterator[Case]:
    sizes = {'sizes': FEW[:1]} if asked.quick else {}
    for file in files(asked.seed, classes=asked.classes, **sizes):
        path = folder / file.name
        path.write_bytes(file.data)
        yield Case(path=path, defect=file.defect, table=file.table, text=file.text)


def _pairs(folder: Path) -> Iterator[Case]:
    for clean in sorted(folder.glob('*.clean.csv')):
        with clean.open(newline='', encoding='utf-8') as file:
            yield Case(
                path=clean.with_name(clean.name.replace('.clean', '')),
                defect=clean.name[:-10],
                table=list(csv.reader(file)),
                text=True,
            )


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


def _score(found: Table, intended: Table) -> tuple[int, int]:
    """(cells in their place, cells there should be or are too many)."""
    found = [row for row in found if row]
    if found == intended:
        size = sum(map(len, intended))
        return size, size
    right = 0
    aligned = SequenceMatcher(None, [tuple(row) for row in intended], [tuple(row) for row in found], autojunk=False)
    for tag, i1, i2, j1, j2 in aligned.get_opcodes():
        if tag == 'equal':
            right += sum(len(row) for row in intended[i1:i2])
        elif tag == 'replace':
            for mine, theirs in zip(intended[i1:i2], found[j1:j2], strict=False):
                right += sum(a == b for a, b in zip(mine, theirs, strict=False))
    return right, max(sum(map(len, intended)), sum(map(len, found)), 1)


def _mean(scores: dict[Path, tuple[int, int]], cases: Sequence[Case]) -> float:
    return sum(scores[case.path][0] / max(scores[case.path][1], 1) for case in cases) / max(len(cases), 1)


def _pooled(scores: dict[Path, tuple[int, int]], cases: Sequence[Case]) -> float:
    return sum(scores[case.path][0] for case in cases) / sum(scores[case.path][1] for case in cases)


def _peers(cases: Sequence[Case], folder: Path) -> dict[str, dict[Path, tuple[int, int]]]:
    """The scores of the peers, each of which reads in one child process."""
    python = _installed()
    found: dict[str, dict[Path, tuple[int, int]]] = {}
    tables = {case.path: case.table for case in cases if case.text}
    for peer in PEERS:
        scores = dict.fromkeys(tables, (0, 1))
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


def _table(cases: Sequence[Case], ours: dict[Path, Any], peers: dict[str, Any], *, all_classes: bool) -> None:
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
