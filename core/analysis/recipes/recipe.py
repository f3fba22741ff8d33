"""A recipe: steps one after the other over a version's rows, with what each of them changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from dataclasses import fields as fields_in
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.analysis import duck
from core.analysis.recipes.steps import ALLOWED, GROWTH, OWN, Field, Made, hidden, make, merged
from core.errors import TooLarge, UsageError

if TYPE_CHECKING:
    import duckdb

MOST_STEPS: Final = 50
PREVIEWED: Final = 100_000
MEMORY: Final = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a step (from 1) did: rows before and after, and cells whose value it changed, emptied or filled.

    `cells` is of how many: those with a value in the columns that it looks at, or of a step that fills, the empty ones.
    """

    step: int
    do: str
    rows_before: int
    rows_after: int
    cells_changed: int
    cells: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooked:
    """The rows after a recipe, as one Parquet file sorted by `_series, _time, _line`.

    Where series were merged, `lost` is a Parquet file of the rows that gave way to others of their series and time:
    `was` (the series they were of), `moment`, `line`, `source`, `other_was`, `other_line`, `other_source`, `here`,
    `there`, `name`, `how`, `action` (see `steps._left_out`), and the number of the `step`.
    """

    path: Path
    fields: tuple[Field, ...]
    report: tuple[Report, ...]
    lost: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Rows of one series before and after (at most as many as were asked for), and what each step did to all of it.

    Of a series that is merged of several, the rows before are those of all of them.
    """

    before: Sequence[tuple[Any, ...]]
    after: Sequence[tuple[Any, ...]]
    columns_before: tuple[str, ...]
    columns_after: tuple[str, ...]
    report: tuple[Report, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts; times stay datetimes."""
        return {
            'columns_before': list(self.columns_before),
            'columns_after': list(self.columns_after),
            'before': [list(row) for row in self.before],
            'after': [list(row) for row in self.after],
            'report': [asdict(one) for one in self.report],
        }


def check(steps: Sequence[Mapping[str, Any]], fields: Sequence[Field], *, zone: str = 'UTC') -> tuple[Field, ...]:
    """Return the columns that a recipe leaves. Raise UsageError that names the step which cannot be done."""
    after = tuple(fields)
    begun = False
    for number, step in enumerate(_steps(steps), 1):
        with _told(number):
            made = make(step, after, zone=zone)
            if begun and step['do'] == 'merge':
                raise UsageError('Series are merged before anything else is done. Move this step to the top.')
        after, begun = made.fields, begun or step['do'] != 'merge'
    return after


def with_step(steps: Sequence[Mapping[str, Any]], step: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a recipe with one more step: last, but a step that merges series behind those that do so too."""
    place = _merges(steps) if step['do'] == 'merge' else len(steps)
    return [*steps[:place], step, *steps[place:]]


def _merges(steps: Sequence[Mapping[str, Any]]) -> int:
    """How many steps merge series: the first ones."""
    return next((place for place, step in enumerate(steps) if step['do'] != 'merge'), len(steps))


def cook(
    parts: Sequence[Path],
    fields: Sequence[Field],
    steps: Sequence[Mapping[str, Any]],
    *,
    zone: str,
    out: Path,
    memory: int,
    workdir: Path,
    progress: Callable[[float], None] = lambda share: None,
    connection: 'duckdb.DuckDBPyConnection | None' = None,
) -> Cooked:
    """Write the rows of `parts` after all steps to the Parquet file `out`.

    DuckDB uses one thread and at most `memory` bytes, and spills to `workdir`, unless there is a `connection` of one
    thread already: to open another takes longer than a recipe over few rows. Raise UsageError for a step that cannot be
    done or leaves no row, TooLarge when memory does not suffice or a step would make far too many rows.
    """
    check(steps, fields, zone=zone)
    allowed = [*parts, out.parent, workdir]
    with (
        nullcontext(connection) if connection else duck.connect(memory=memory, workdir=workdir, allow=allowed)
    ) as connection:
        own = _own(connection, parts)
        _begin(connection, parts, fields, own, hidden(steps, fields))
        after, report = _run(connection, fields, steps, zone=zone, own=own, progress=progress)
        if not report or not report[-1].rows_after:
            raise UsageError('The recipe leaves no row. Loosen its filter.')
        target = duck.text(str(out))
        connection.execute(
            f'COPY (SELECT {_shown(own, after)} FROM source ORDER BY _series, _time, _line) TO {target} '
            '(FORMAT parquet, COMPRESSION lz4)'
        )
        lost = out.with_name(f'{out.stem}-lost.parquet') if _merges(steps) else None
        if lost is not None:
            connection.execute(f'COPY lost TO {duck.text(str(lost))} (FORMAT parquet)')
    return Cooked(path=out, fields=after, report=report, lost=lost)


def preview(
    parts: Sequence[Path | str],
    fields: Sequence[Field],
    steps: Sequence[Mapping[str, Any]],
    *,
    zone: str,
    series: str,
    stored: Sequence[Mapping[str, Any]] = (),
    limit: int = 500,
    system: Any = None,
) -> Preview:
    """Return what a recipe does to one series (at most its first 100,000 rows), without storing anything.

    The series is called as it is after the steps `stored`. Parts that are addresses are opened by the fsspec file
    system `system`. Raise UsageError as `cook` does.
    """
    check(steps, fields, zone=zone)
    with duck.connect(memory=MEMORY, allow=parts, system=system) as connection:
        with duck.told():
            own = _own(connection, parts)
            whole = _meant(connection, parts, fields, series, stored=stored, steps=steps)
            _begin(connection, parts, fields, own, hidden(steps, fields), series=whole)
        before = connection.execute(f'SELECT {_shown(own, fields)} FROM source LIMIT ?', [limit]).fetchall()
        after, report = _run(connection, fields, steps, zone=zone, own=own)
        rows = connection.execute(f'SELECT {_shown(own, after)} FROM source LIMIT ?', [limit]).fetchall()
    return Preview(
        before=before,
        after=rows,
        columns_before=(*own, *(field.name for field in fields)),
        columns_after=(*own, *(field.name for field in after)),
        report=report,
    )


def _steps(steps: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise UsageError('A recipe is a list of steps.')
    if len(steps) > MOST_STEPS:
        raise UsageError(f'A recipe has at most {MOST_STEPS} steps.')
    if wrong := next((number for number, step in enumerate(steps, 1) if not isinstance(step, Mapping)), None):
        raise UsageError(f'Step {wrong} is no step. Write one such as {{"do": "filter", "where": "price > 0"}}.')
    return steps


@contextmanager
def _told(number: int) -> Iterator[None]:
    """Say in which step it was."""
    import duckdb

    try:
        yield
    except UsageError as error:
        raise UsageError(f'Step {number}: {error.message}') from error
    except duckdb.OutOfMemoryException as error:
        raise TooLarge(f'Step {number} needs more memory than is allowed. Filter first, or allow more.') from error
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as error:
        reason = str(error).splitlines()[0][:200]
        raise UsageError(f'Step {number} cannot be done with these values ({reason}).') from error


def _own(connection: 'duckdb.DuckDBPyConnection', parts: Sequence[Path | str]) -> tuple[str, ...]:
    """Our own columns of these parts, in the order of OWN."""
    names = {row[0] for row in connection.execute(f'DESCRIBE SELECT * FROM {duck.files(parts)}').fetchall()}
    return tuple(name for name in OWN[:4] if name in names)


def _shown(own: Sequence[str], fields: Sequence[Field]) -> str:
    """SQL: our own columns and these, without what steps keep beside a row."""
    return ', '.join([*own, *(field.sql for field in fields)])


def _begin(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path | str],
    fields: Sequence[Field],
    own: Sequence[str],
    beside: Mapping[str, str],
    *,
    series: Sequence[str] | None = None,
) -> None:
    listed = ', '.join([*own, *(f'{sql} AS {name}' for name, sql in beside.items()), *(field.sql for field in fields)])
    rows = f'SELECT {listed} FROM {duck.files(parts)}'
    if series is not None:
        rows += f' WHERE _series IN ({", ".join(map(duck.text, series))}) LIMIT {PREVIEWED}'
        connection.execute(f'CREATE TEMP TABLE step_0 AS {rows}')
        rows = 'SELECT * FROM step_0'
    connection.execute(f'CREATE OR REPLACE TEMP VIEW source AS {rows}')


def _meant(
    connection: 'duckdb.DuckDBPyConnection',
    parts: Sequence[Path | str],
    fields: Sequence[Field],
    series: str,
    *,
    stored: Sequence[Mapping[str, Any]],
    steps: Sequence[Mapping[str, Any]],
) -> Sequence[str]:
    """The series before any step that become `series` by what is `stored`, with those that `steps` make one of them."""
    merges = [list(one[: _merges(one)]) for one in (stored, steps)]
    if not any(merges):
        return [series]
    before, after = (merged(one, fields) for one in merges)
    found = connection.execute(
        f"""WITH names AS (SELECT DISTINCT _series, {before} AS old, {after} AS new FROM {duck.files(parts)})
        SELECT _series FROM names
        WHERE new IN (SELECT new FROM names WHERE old = $1 OR _series = $1) ORDER BY _series""",
        [series],
    ).fetchall()
    return [name for (name,) in found] or [series]


def _run(
    connection: 'duckdb.DuckDBPyConnection',
    fields: Sequence[Field],
    steps: Sequence[Mapping[str, Any]],
    *,
    zone: str,
    own: Sequence[str],
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[tuple[Field, ...], tuple[Report, ...]]:
    """Run the steps over the view `source`, which shows their result afterwards."""
    after, report, beside = tuple(fields), [], tuple(hidden(steps, fields))
    for number, step in enumerate(steps, 1):
        with _told(number):
            made = make(step, after, zone=zone, own=(*own, *beside) if step['do'] == 'merge' else own)
            report.append(_step(connection, made, number, str(step['do'])))
            after = made.fields
        progress(number / len(steps))
    return after, tuple(report)


def _step(connection: 'duckdb.DuckDBPyConnection', made: Made, number: int, do: str) -> Report:
    rows, empty = _counted(connection, made)
    if made.guard is not None:
        wanted = int(duck.single(connection, made.guard)[0])
        if wanted > GROWTH * rows + ALLOWED:
            raise TooLarge(f'Step {number} would make {wanted:,} rows of {rows:,}. Choose a longer step of time.')
    changed, seen = duck.single(connection, made.changed) if made.changed else (0, empty)
    if made.lost is not None:
        begins = 'INSERT INTO lost BY NAME' if number > 1 else 'CREATE OR REPLACE TEMP TABLE lost AS'
        connection.execute(f'{begins} SELECT *, {number} AS step FROM ({made.lost})')
    connection.execute(f'CREATE TEMP TABLE step_{number} AS {made.sql}')
    connection.execute(f'CREATE OR REPLACE TEMP VIEW source AS SELECT * FROM step_{number}')
    connection.execute(f'DROP TABLE IF EXISTS step_{number - 1}')
    rows_after, left = _counted(connection, made)
    return Report(
        step=number,
        do=do,
        rows_before=rows,
        rows_after=rows_after,
        cells_changed=int(changed or 0) + max(0, empty - left),
        cells=int(seen or 0),
    )


def _counted(connection: 'duckdb.DuckDBPyConnection', made: Made) -> tuple[int, int]:
    rows, empty = duck.single(connection, f'SELECT count(*), {made.empty or 0} FROM source')
    return int(rows), int(empty)


def fields_of(manifest: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the columns that a recipe of this version starts from."""
    columns = manifest.get('base') or manifest['columns']
    return tuple(
        Field(name=one['name'], type=one['type'], role=one['role'], source=one.get('source', '')) for one in columns
    )


def steps_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of this version's recipe, as they were asked for."""
    told = {field.name for field in fields_in(Report)} - {'do'}
    return [{key: value for key, value in step.items() if key not in told} for step in manifest.get('recipe', ())]
