"""Verbs that work on files without a server: inspect, convert, forecast, backtest."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import AmbiguousDates, UsageError, VariosyncError
from core.settings import parse_bytes
from ui.cli.root import Root
from ui.cli.terminal import progress_line

FileArgument = Annotated[Path, typer.Argument(metavar='FILE', help='The file to read.')]
JsonOption = Annotated[bool, typer.Option('--json', help='Print one JSON object.')]
MemoryOption = Annotated[str, typer.Option(help='Memory the work may use.')]
ZoneOption = Annotated[str | None, typer.Option(help='Zone of stamps that name none; UTC when absent.')]
DayFirstOption = Annotated[
    bool | None, typer.Option('--day-first/--month-first', help='How to read dates such as 03/04/2025.')
]


EncodingOption = Annotated[str | None, typer.Option(help='Encoding, such as utf-8, cp1252 or shift_jis.')]
DelimiterOption = Annotated[str | None, typer.Option(help='What separates cells, such as ";" or "\\t".')]
QuoteOption = Annotated[str | None, typer.Option(help='What encloses cells; "" for nothing.')]
EscapeOption = Annotated[str | None, typer.Option(help='What makes a quote in a cell ordinary; "" for nothing.')]
CommentOption = Annotated[str | None, typer.Option(help='How lines begin that are no records; "" for none.')]
SkipOption = Annotated[int | None, typer.Option(min=0, help='Lines above the table.')]
HeaderOption = Annotated[int | None, typer.Option('--header-lines', min=0, help='Lines of the header; 0 for none.')]
SheetOption = Annotated[str | None, typer.Option(help='Sheet of a workbook.')]
MemberOption = Annotated[str | None, typer.Option(help='File of an archive.')]
DecimalOption = Annotated[str | None, typer.Option(help='Decimal mark: "." or ",".')]
ShapeOption = Annotated[str, typer.Option(help='Shape of the table: auto, long or wide.')]
DuplicatesOption = Annotated[
    str, typer.Option(help='Which record of one series and time is kept: auto, last, first, mean or sum.')
]
OffOption = Annotated[str, typer.Option(help='Repairs not to make, comma-separated, such as unit,duplicate.')]
DatasetOption = Annotated[
    Path | None,
    typer.Option('-o', '--out', help='OUT.parquet, OUT.csv, or a new folder for the whole dataset.'),
]
RecipeOption = Annotated[
    Path | None, typer.Option(metavar='STEPS.json', help='Cleaning steps, as docs/recipes.md describes them.')
]
AppendOption = Annotated[
    Path | None,
    typer.Option(metavar='FOLDER', help='Dataset that the file joins; changed in place unless -o says where to.'),
]
OutOption = Annotated[Path, typer.Option('-o', '--out', help='OUT.parquet or OUT.csv.')]
TimeOption = Annotated[str | None, typer.Option(help='Column of time; found out when absent.')]
TargetOption = Annotated[str | None, typer.Option(help='Column to forecast; the one measure when absent.')]
HorizonOption = Annotated[int, typer.Option('--h', min=1, max=5000, help='Steps ahead.')]
IdOption = Annotated[str | None, typer.Option('--id', help='Column that tells series apart.')]
FreqOption = Annotated[str | None, typer.Option(help='Step, such as MS, D, h; inferred when absent.')]
ModelsOption = Annotated[str, typer.Option(help='Models, comma-separated.')]
LevelOption = Annotated[str, typer.Option(help='Bands in percent, comma-separated.')]
RegressorsOption = Annotated[str, typer.Option(help='Columns that are known ahead, comma-separated.')]
StaticOption = Annotated[str, typer.Option(help='Columns that stay the same within a series, comma-separated.')]
HolidaysOption = Annotated[str | None, typer.Option(help='Country whose holidays matter, such as DE.')]
BudgetOption = Annotated[float | None, typer.Option(min=1, help='Seconds that auto may take.')]
SeedOption = Annotated[int, typer.Option(min=1, help='Seed of whatever is drawn by chance.')]
CoresOption = Annotated[int, typer.Option(min=1, max=256, help='Processes to use.')]


def file_commands(app: typer.Typer, root: Root) -> None:
    def local(verb: str, file: Path, memory: str, **arguments: Any) -> dict[str, Any]:
        if not file.is_file():
            raise UsageError(f'There is no file {file}. Check the path.')
        given = {'path': str(file.absolute()), 'name': file.name, 'memory': _bytes(memory), **arguments}
        with progress_line() as progress:
            try:
                return root.run_local(
                    f'core.file_verbs:{verb}_file',
                    given,
                    memory=_bytes(memory) + CHILD_OVERHEAD,
                    timeout=86_400,
                    progress=progress,
                )
            except AmbiguousDates as error:
                raise AmbiguousDates(f'{error.message} Here: --day-first or --month-first.') from error

    def columns(
        file: Path, memory: str, time: str | None, target: str | None, key: str | None, **options: Any
    ) -> dict[str, Any]:
        """The columns to forecast by: those given, else those that the file tells, of which a line on stderr says."""
        if time is not None and target is not None:
            return {'time': time, 'target': target, 'id': key}
        given = {name: role for name, role in ((time, 'time'), (target, 'measure'), (key, 'series')) if name}
        told = {name: value for name, value in options.items() if value is not None}
        report = local('inspect', file, memory, max_faults=0, options={'reading': {}, 'roles': given, **told})
        found = _found(report['columns'], {'time': time, 'target': target, 'id': key}, file.name)
        print(', '.join(f'{name}: {column}' for name, column in found.items() if column), file=sys.stderr)
        return found

    @app.command()
    def inspect(
        file: FileArgument,
        as_json: JsonOption = False,
        max_faults: Annotated[int, typer.Option(min=0, help='Faults to list.')] = 1000,
        offset: Annotated[int, typer.Option(min=0, help='Faults to skip.')] = 0,
        kind: Annotated[str | None, typer.Option(help='Only faults of this kind.')] = None,
        column: Annotated[str | None, typer.Option(help='Only those of this column; "" for whole records.')] = None,
        action: Annotated[str | None, typer.Option(help='Only those that were met so, such as rejected.')] = None,
        lines: Annotated[str, typer.Option(metavar='FROM-TO', help='Only those of these lines, such as 10-99.')] = '',
        faults: Annotated[Path | None, typer.Option(help='Where to write them, as FILE.csv or FILE.parquet.')] = None,
        time_zone: ZoneOption = None,
        day_first: DayFirstOption = None,
        encoding: EncodingOption = None,
        delimiter: DelimiterOption = None,
        quote: QuoteOption = None,
        escape: EscapeOption = None,
        comment: CommentOption = None,
        skip: SkipOption = None,
        header_lines: HeaderOption = None,
        sheet: SheetOption = None,
        member: MemberOption = None,
        decimal: DecimalOption = None,
        shape: ShapeOption = 'auto',
        duplicates: DuplicatesOption = 'auto',
        off: OffOption = '',
        memory: MemoryOption = '512MB',
    ) -> None:
        """Say how a file would be read. Tells the dialect, the columns, the rows and every fault."""
        options = _options(locals())
        where: dict[str, str | None] = {name: value for name, value in (('kind', kind), ('action', action)) if value}
        if column is not None:
            where['column'] = column or None
        report = local(
            'inspect',
            file,
            memory,
            max_faults=max_faults,
            offset=offset,
            where=where,
            lines=_lines(lines),
            out=faults and str(_table(faults)),
            options=options,
        )
        print(json.dumps(report, ensure_ascii=False) if as_json else _report(report))

    @app.command()
    def convert(
        file: FileArgument,
        out: DatasetOption = None,
        recipe: RecipeOption = None,
        append_to: AppendOption = None,
        raw: Annotated[bool, typer.Option('--raw', help='The table as text, cells unchanged (to .csv).')] = False,
        memory: MemoryOption = '512MB',
        time_zone: ZoneOption = None,
        day_first: DayFirstOption = None,
        encoding: EncodingOption = None,
        delimiter: DelimiterOption = None,
        quote: QuoteOption = None,
        escape: EscapeOption = None,
        comment: CommentOption = None,
        skip: SkipOption = None,
        header_lines: HeaderOption = None,
        sheet: SheetOption = None,
        member: MemberOption = None,
        decimal: DecimalOption = None,
        shape: ShapeOption = 'auto',
        duplicates: DuplicatesOption = 'auto',
        off: OffOption = '',
        as_json: JsonOption = False,
    ) -> None:
        """Write the clean table of a file. It is Parquet or CSV, or the whole dataset that an upload would make."""
        options = _options(locals())
        if raw and (out is None or out.suffix != '.csv' or recipe or append_to):
            raise UsageError('--raw writes the text of one file to -o OUT.csv, without --recipe and --append-to.')
        if out is None and append_to is None:
            raise UsageError('Say where to write: -o, --out OUT.parquet, OUT.csv or a new folder.')
        target = (out and _place(out)) or (append_to and append_to.absolute())
        report = local(
            'convert',
            file,
            memory,
            out=str(target),
            raw=raw,
            recipe=_recipe(recipe),
            onto=append_to and str(append_to.absolute()),
            options=options,
        )
        print(json.dumps(report, ensure_ascii=False) if as_json else _converted(report, out or append_to))

    @app.command()
    def forecast(
        file: FileArgument,
        h: HorizonOption,
        out: OutOption,
        time: TimeOption = None,
        target: TargetOption = None,
        id_column: IdOption = None,
        freq: FreqOption = None,
        models: ModelsOption = 'auto',
        level: LevelOption = '80,95',
        regressors: RegressorsOption = '',
        static: StaticOption = '',
        holidays: HolidaysOption = None,
        future: Annotated[
            Path | None, typer.Option(help='File of time, id and regressors after the last value.')
        ] = None,
        budget: BudgetOption = None,
        seed: SeedOption = 1,
        time_zone: ZoneOption = None,
        day_first: DayFirstOption = None,
        cores: CoresOption = 1,
        memory: MemoryOption = '4GB',
        as_json: JsonOption = False,
    ) -> None:
        """Forecast every series of a file."""
        if future is not None and not future.is_file():
            raise UsageError(f'There is no file {future}. Check the path.')
        asked = columns(file, memory, time, target, id_column, time_zone=time_zone, day_first=day_first)
        asked |= {'h': h, 'freq': freq, 'cores': cores, 'seed': seed}
        asked |= {
            'models': _words(models),
            'levels': _levels(level),
            'regressors': _words(regressors),
            'static': _words(static),
            'holidays': holidays,
            'future': future and str(future.absolute()),
            'budget': budget,
            'out': str(_table(out)),
            'time_zone': time_zone or 'UTC',
            'day_first': day_first,
        }
        report = local('forecast', file, memory, **asked)
        print(json.dumps(report, ensure_ascii=False) if as_json else _forecast_summary(report, out))
        if not report['series_ok']:
            raise VariosyncError(
                f'No series could be forecast: {report["warnings"][0] if report["warnings"] else "no values"}'
            )

    @app.command()
    def backtest(
        file: FileArgument,
        h: HorizonOption,
        out: OutOption,
        time: TimeOption = None,
        target: TargetOption = None,
        id_column: IdOption = None,
        freq: FreqOption = None,
        models: ModelsOption = 'auto',
        level: LevelOption = '80,95',
        n_windows: Annotated[int, typer.Option(min=1, max=100, help='Past cutoffs to forecast from.')] = 3,
        step_size: Annotated[
            int | None, typer.Option(min=1, help='Steps between two cutoffs; the horizon when absent.')
        ] = None,
        by: Annotated[str | None, typer.Option(help='A score for each: horizon or series.')] = None,
        rows: Annotated[Path | None, typer.Option(help='Where to write every forecast beside what came.')] = None,
        regressors: RegressorsOption = '',
        static: StaticOption = '',
        holidays: HolidaysOption = None,
        budget: BudgetOption = None,
        seed: SeedOption = 1,
        time_zone: ZoneOption = None,
        day_first: DayFirstOption = None,
        cores: CoresOption = 1,
        memory: MemoryOption = '4GB',
        as_json: JsonOption = False,
    ) -> None:
        """Measure models on the past of a file. Sets what they would have forecast beside what came."""
        if by not in (None, 'horizon', 'series'):
            raise UsageError(f'--by takes horizon or series, not "{by}".')
        asked = columns(file, memory, time, target, id_column, time_zone=time_zone, day_first=day_first)
        asked |= {'h': h, 'freq': freq, 'cores': cores, 'seed': seed}
        asked |= {
            'models': _words(models),
            'levels': _levels(level),
            'n_windows': n_windows,
            'step_size': step_size,
            'by': by,
            'regressors': _words(regressors),
            'static': _words(static),
            'holidays': holidays,
            'budget': budget,
            'out': str(_table(out)),
            'rows': rows and str(_table(rows)),
            'time_zone': time_zone or 'UTC',
            'day_first': day_first,
        }
        report = local('backtest', file, memory, **asked)
        print(json.dumps(report, ensure_ascii=False) if as_json else _leaderboard(report, out))


READING = ('encoding', 'delimiter', 'quote', 'escape', 'comment', 'skip', 'header_lines', 'sheet', 'member')
OTHERS = ('time_zone', 'day_first', 'decimal', 'shape', 'duplicates', 'off')
TABS = {'\\t': '\t', 'tab': '\t'}
SUFFIXES = ('.csv', '.parquet')
MOST_NAMED = 10  # series in one line
SHOWN = 20  # faults that `inspect` prints
NAMED = 8  # columns that a message names
CHILD_OVERHEAD = 400 * 2**20


def _writable(out: Path) -> Path:
    if out.is_dir():
        raise UsageError(f'{out} is a folder. Name a file.')
    folder = out.absolute().parent
    if not folder.is_dir():
        raise UsageError(f'There is no folder {folder}. Make it first.')
    return out.absolute()


def _table(out: Path) -> Path:
    if out.suffix not in SUFFIXES:
        raise UsageError(f'{out} must end in .csv or .parquet.')
    return _writable(out)


def _place(out: Path) -> Path:
    """Where a table or a dataset is to be: a file by its suffix, else a folder that is new or empty."""
    if out.suffix in SUFFIXES:
        return _writable(out)
    if out.suffix and not out.is_dir():
        raise UsageError(f'{out} must end in .csv or .parquet, or name a folder, which has no suffix.')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f'{out} is there already. Name another folder, or --append-to {out} to go on from it.')
    if not out.absolute().parent.is_dir():
        raise UsageError(f'There is no folder {out.absolute().parent}. Make it first.')
    return out.absolute()


def _recipe(path: Path | None) -> list[Any] | None:
    """The steps in a file, None when there is no file."""
    if path is None:
        return None
    try:
        steps = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise UsageError(f'There is no file {path} to read steps from. Check the path.') from error
    except ValueError as error:
        raise UsageError(f'{path} is not JSON: {error}. Write a list of steps; see docs/recipes.md.') from error
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise UsageError(f'{path} must hold a list of steps such as [{{"do": "drop", "column": "x"}}].')
    return steps


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(f'--memory: {error}.') from error


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the arguments of a verb say about a file, as tasks take it; only what was said."""
    told = {**given, 'off': _words(given['off']), 'delimiter': TABS.get(given['delimiter'], given['delimiter'])}
    reading = {name: told[name] for name in READING if told[name] is not None}
    return {name: told[name] for name in OTHERS if told[name] not in (None, [])} | {'reading': reading}


def _found(columns: Sequence[Mapping[str, Any]], given: Mapping[str, str | None], name: str) -> dict[str, Any]:
    """The time, the target and the key of a file: those `given`, else the only columns of their roles."""
    roles = {'time': 'time', 'target': 'measure', 'id': 'series'}
    found = {what: [c['name'] for c in columns if c['role'] == role] for what, role in roles.items()}
    said = {'time': 'could be the time', 'target': 'could be forecast', 'id': 'tell its series apart'}
    for what, names in found.items():
        if given[what] is None and (len(names) > 1 or (not names and what != 'id')):
            which = ', '.join(names[:NAMED]) + (' …' if len(names) > NAMED else '') or 'no column'
            raise UsageError(f'In {name} {which} {said[what]}. Say which one by --{what}.')
    return {what: given[what] or next(iter(names), None) for what, names in found.items()}


def _lines(text: str) -> list[int | None]:
    """The first and the last of some lines, written as 10-99, 10- or -99; None for no bound."""
    found = re.fullmatch(r'(\d{0,18})-(\d{0,18})', text) if text else None
    if text and (found is None or text == '-'):
        raise UsageError(f'--lines takes a range such as 10-99, 10- or -99, not "{text}".')
    return [int(bound) if bound else None for bound in found.groups()] if found else [None, None]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(',') if word.strip()]


def _levels(text: str) -> list[float]:
    try:
        levels = [float(word) for word in _words(text)]
    except ValueError as error:
        raise UsageError(f'--level takes percentages such as 80,95, not "{text}".') from error
    if not levels or any(not 0 < level < 100 for level in levels):
        raise UsageError(f'--level takes percentages between 0 and 100 such as 80,95, not "{text}".')
    return levels


def _summary(report: Mapping[str, Any], out: Path) -> str:
    read, accepted = report['rows_read'], report['rows_accepted']
    repaired, rejected = report['rows_repaired'], report['rows_rejected']
    return f'{out}: {read:,} read = {accepted:,} accepted + {repaired:,} repaired + {rejected:,} rejected'


def _converted(report: Mapping[str, Any], out: Path | None) -> str:
    lines = [f'warning: {text}' for text in report.get('warnings', ())]
    lines += [f'{kind}: {text}' for kind in ('note', 'hint') for text in report.get(f'{kind}s', ())]
    lines += [
        f'step {step["step"]} {step["do"]}: {step["rows_before"]:,} rows to {step["rows_after"]:,}, '
        f'{step["cells_changed"]:,} of {step["cells"]:,} cells changed'
        for step in report.get('recipe', ())
    ]
    lines += [_summary(report, out or Path('rows'))]
    return '\n'.join([*lines, f'{out}: {report["rows"]:,} rows'] if 'rows' in report else lines)


def _report(report: Mapping[str, Any]) -> str:
    lines = [_summary(report, Path('rows')), *(f'note: {note}' for note in report['notes'])]
    lines += [f'{column["name"]:<32} {column["type"]:<12} {column["role"]}' for column in report['columns']]
    lines += [_fault(fault) for fault in report['faults'][:SHOWN]]
    if (more := report.get('faults_chosen', report['faults_total']) - min(SHOWN, len(report['faults']))) > 0:
        lines.append(f'… and {more:,} more faults: --json lists them, --faults OUT.csv writes all of them')
    return '\n'.join(lines)


def _fault(fault: Mapping[str, Any]) -> str:
    """One fault, with what is stored of its value; of a duplicate the line stored in its place, and what both say."""
    told = f'line {fault["line"]}: {fault["column"] or "record"} {fault["kind"]}'
    if fault.get('other_line') is not None:
        return f'{told} {fault["action"]}: {fault["reason"]}'
    became = '' if fault.get('became') is None else f' -> {fault["became"]!r}'
    return f'{told} {fault["value"]!r}{became} {fault["action"]}'


def _forecast_summary(report: Mapping[str, Any], out: Path) -> str:
    done = f'{out}: {report["rows"]:,} rows, {report["series_ok"]:,} of {report["series"]:,} series forecast'
    named = {text: f' ({_few(report["warned"][text])})' if report['series'] > 1 else '' for text in report['warnings']}
    return '\n'.join([*(f'warning: {text}{which}' for text, which in named.items()), done])


def _leaderboard(report: Mapping[str, Any], out: Path) -> str:
    """Return the models by their error, the best first."""
    scores = sorted(report['scores'], key=lambda score: (score['mase'] is None, score['mase']))
    figures = {'MASE': 'mase', 'RMSSE': 'rmsse', 'sMAPE': 'smape', 'SQL': 'sql', 'WQL': 'wql'}
    levels = list(scores[0]['coverage'])
    head = ['model', *figures, *(f'{level}% held' for level in levels), *(f'{level}% width' for level in levels)]
    lines = [[*head, 'points', 'seconds']]
    for score in scores:
        held = [_figure(score['coverage'][level], '.1%') for level in levels]
        wide = [_figure(score['width'][level], '.2f') for level in levels]
        errors = [_figure(score[name], '.2f' if name == 'smape' else '.3f') for name in figures.values()]
        lines.append([score['model'], *errors, *held, *wide, f'{score["points"]:,}', _figure(score['seconds'], '.1f')])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        '  '.join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    measured = max(score['n_series'] for score in scores)
    windows = max(score['n_windows'] for score in scores)
    short = [f'warning: {text}' for text in report['warnings']]
    most = max(report['windows'].values())
    fewer = [f'{name} ({count})' for name, count in report['windows'].items() if count < most]
    if fewer:
        short.append(f'fewer windows: {_few(fewer)}')
    return '\n'.join([*short, *table, f'{out}: {measured:,} of {report["series"]:,} series, {windows:,} windows'])


def _few(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f' and {len(names) - MOST_NAMED:,} more' * (len(names) > MOST_NAMED)
    return ', '.join(names[:MOST_NAMED]) + more


def _figure(value: float | None, form: str) -> str:
    return '–' if value is None else format(value, form)
