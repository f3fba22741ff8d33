"""What becomes of dirty files: `python -m benchmarks.dirty [--quick]`.

Every class of defects of `tests/dirty` in files of 100, 20,000 and 200,000 records, with the defect near the start, in
the middle and near the end, is converted, and what is stored is read back and compared with what the file means: every
good record with exactly its values and types, and no other. `--quick` takes all small files, one of 20,000 records of
every fourth class and one of 200,000 of every sixteenth.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Figure, report
from tests.dirty import CLASSES, DirtyFile, files
from tests.dirty.truth import Outcome, outcome

ROWS = {'small': 100, 'medium': 20_000, 'large': 200_000}
EVERY = {'medium': 4, 'large': 16}
"""Of which classes a quick run makes files of this size."""


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='few of the longer files')
    return report(figures(parser.parse_args().quick))


def figures(quick: bool) -> list[Figure]:
    """Convert the files and return what became of their records and cells."""
    found = list(_outcomes(quick))
    known = sum(len(one.file.faults) for one in found)
    missed = sum(len(one.missed) for one in found)
    return [
        Figure(figure='dirty files', value=len(found), goal=200, better='more'),
        Figure(figure='refused', value=sum(bool(one.refused) for one in found), goal=0),
        Figure(figure='defects put in', value=known),
        Figure(figure='found at line and column (%)', value=100 * (1 - missed / known), goal=99, better='more'),
        Figure(
            figure='files that reconcile (%)',
            value=100 * sum(one.reconciles for one in found) / len(found),
            goal=100,
            better='more',
        ),
        Figure(figure='good rows lost', value=sum(one.lost for one in found), goal=0),
        Figure(figure='rows stored that are not meant', value=sum(one.more for one in found), goal=0),
        Figure(figure='cells of another value or type', value=sum(one.wrong for one in found), goal=0),
    ]


def _outcomes(quick: bool) -> Iterator[Outcome]:
    """Convert every file; what is amiss with one is told at once."""
    with tempfile.TemporaryDirectory(prefix='vs-dirty-') as folder:
        for file in _files(quick):
            found = outcome(file, Path(folder))
            if not found.right:
                print(
                    f'{file.name}: {found.refused or "stored"}; {len(found.missed)} defects missed, {found.lost} rows '
                    f'lost, {found.more} too many, {found.wrong} cells wrong {"; ".join(found.told)}',
                    file=sys.stderr,
                )
            yield found


def _files(quick: bool) -> Iterator[DirtyFile]:
    yield from files(sizes=('small',), rows=ROWS)
    for size, every in EVERY.items():
        classes = list(CLASSES)[::every] if quick else list(CLASSES)
        places = {'places': ('middle',)} if quick else {}
        yield from files(sizes=(size,), rows=ROWS, classes=classes, **places)


if __name__ == '__main__':
    sys.exit(main())
