"""What becomes of dirty files: `python -m benchmarks.dirty [--quick | --whole]`.

Files with defects of `tests/dirty` are converted, and what is stored is read back and compared with what the file
means: every good record with exactly its values and types, and no other. Every class in 100 records, with the defect
near the start, in the middle and near the end; every class in 20,000 records and every eighth in 200,000, in the
middle. `--quick` takes few of the longer files, `--whole` (an hour) every class at every place in all three sizes.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Figure, report
from tests.dirty import CLASSES, DirtyFile, files
from tests.dirty.truth import Outcome, outcome

ROWS = {'small': 100, 'medium': 20_000, 'large': 200_000}
EVERY = {'medium': 1, 'large': 8}
QUICK = {'medium': 30, 'large': 200}
"""Of which classes a run makes longer files."""


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='few of the longer files')
    parser.add_argument('--whole', action='store_true', help='every class at every place in every size')
    asked = parser.parse_args()
    return report(figures(asked.quick, whole=asked.whole))


def figures(quick: bool, *, whole: bool = False) -> list[Figure]:
    """Convert the files and return what became of their records and cells."""
    total: Counter[str] = Counter()
    for one in _outcomes(quick, whole):  # what a long file means takes a hundred megabytes: only numbers are kept
        total += Counter(
            files=1,
            known=len(one.file.faults),
            missed=len(one.missed),
            refused=bool(one.refused),
            reconcile=one.reconciles,
            lost=one.lost,
            more=one.more,
            wrong=one.wrong,
        )
    return [
        Figure(figure='dirty files', value=total['files'], goal=200, better='more'),
        Figure(figure='refused', value=total['refused'], goal=0),
        Figure(figure='defects put in', value=total['known']),
        Figure(
            figure='found at line and column (%)',
            value=100 * (1 - total['missed'] / total['known']),
            goal=99,
            better='more',
        ),
        Figure(
            figure='files that reconcile (%)', value=100 * total['reconcile'] / total['files'], goal=100, better='more'
        ),
        Figure(figure='good rows lost', value=total['lost'], goal=0),
        Figure(figure='rows stored that are not meant', value=total['more'], goal=0),
        Figure(figure='cells of another value or type', value=total['wrong'], goal=0),
    ]


def _outcomes(quick: bool, whole: bool) -> Iterator[Outcome]:
    """Convert every file; what is amiss with one is told at once."""
    with tempfile.TemporaryDirectory(prefix='vs-dirty-') as folder:
        for file in _files(quick, whole):
            found = outcome(file, Path(folder))
            if not found.right:
                print(
                    f'{file.name}: {found.refused or "stored"}; {len(found.missed)} defects missed, {found.lost} rows '
                    f'lost, {found.more} too many, {found.wrong} cells wrong {"; ".join(found.told)}',
                    file=sys.stderr,
                )
            yield found


def _files(quick: bool, whole: bool) -> Iterator[DirtyFile]:
    yield from files(sizes=('small',), rows=ROWS)
    for size, every in (QUICK if quick else EVERY).items():
        if whole:
            yield from files(sizes=(size,), rows=ROWS, classes=list(CLASSES))
        else:
            yield from files(sizes=(size,), rows=ROWS, classes=list(CLASSES)[::every], places=('middle',))


if __name__ == '__main__':
    sys.exit(main())
