"""The `variosync` command. It receives its factories as an argument and imports lazily, so that `--help` is quick."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from uuid import UUID, uuid4

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from core.errors import AmbiguousDates, NotFound, UsageError, VariosyncError
from core.settings import Settings, parse_bytes
from core.values import Diagnosis, Mail
from ui.origins import address

if TYPE_CHECKING:
    from core.services import Services

EXIT_USAGE = 2
CommandError = typer.BadParameter.__mro__[2]  # ClickException, which typer does not name in public


class Root(Protocol):
    """What the composition root lends the command."""

    def serve(self, settings: Settings) -> None:
        """Run the web server until it is stopped."""

    def services(self, settings: Settings) -> AbstractAsyncContextManager['Services']:
        """The services, on the database of a running server or on one that is started for as long as this takes."""

    async def worker(self, settings: Settings) -> None:
        """Work on jobs until stopped."""

    async def migrate(self, settings: Settings) -> list[str]:
        """Apply migrations and return the names of those that were new."""

    async def doctor(self, settings: Settings) -> Mapping[str, Diagnosis]:
        """Try each service for real and return what was found by its name."""

    def bucket_init(self, settings: Settings) -> Sequence[str]:
        """Make the bucket that the settings name and set it up; return a line for each thing that was done."""

    def outbox(self, settings: Settings) -> Sequence[Mail]:
        """The mails that wait in the outbox, the newest first."""

    def run_local(
        self,
        function: str,
        arguments: Mapping[str, Any],
        *,
        memory: int,
        timeout: float,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Run `module:function` in a watched child process."""


def run(root: Root) -> None:
    """Run the command line; bad input ends with exit status 2 and one line."""
    commands = _commands(root)
    try:
        status = commands(standalone_mode=False)
    except VariosyncError as error:
        _stop(error.message)
    except ValidationError as error:
        _stop(f'{_wrong_setting(error)}. See docs/ENV_VARS.md.')
    except SettingsError as error:
        found = re.search(r'field "(\w+)"', str(error))
        field = Settings.model_fields.get(found[1]) if found else None
        _stop(f'The setting {field.alias if field else ""} must be JSON and cannot be read. See docs/ENV_VARS.md.')
    except typer.Exit as leave:
        raise SystemExit(leave.exit_code) from None
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    except CommandError as error:
        if type(error).__name__ == 'NoArgsIsHelpError':  # its message is the help, in lines
            print(error.format_message(), file=sys.stderr)
            raise SystemExit(EXIT_USAGE) from None
        _stop(f'{error.format_message().rstrip(".")}. Try `variosync --help`.')
    else:
        raise SystemExit(status or 0)


def _wrong_setting(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    reason = first['msg'].removeprefix('Value error, ').rstrip('.')
    # Settings that do not work together are named in the reason.
    return f'The setting {".".join(map(str, first["loc"]))} is not valid: {reason}' if first['loc'] else reason


def _stop(message: str) -> None:
    print(f'variosync: {" ".join(message.split())}', file=sys.stderr)
    raise SystemExit(EXIT_USAGE)


def _commands(root: Root) -> typer.Typer:
    app = typer.Typer(
        name='variosync',
        help='Time series: clean data, a live dashboard and a forecast whose bands hold.',
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    _server_commands(app, root)
    _file_commands(app, root)
    app.add_typer(_hours_commands(root), name='hours')
    app.add_typer(_bucket_commands(root), name='bucket')
    _demo_command(app, root)
    return app


def _server_commands(app: typer.Typer, root: Root) -> None:
    @app.command()
    def serve() -> None:
        """Run the web server, with the embedded services that no setting replaces."""
        root.serve(Settings())

    @app.command()
    def worker() -> None:
        """Work on jobs in a process of its own."""
        _until_stopped(root.worker(Settings()))

    @app.command()
    def link() -> None:
        """Print a link that signs the owner in, once."""
        print(asyncio.run(_owner_link(root, Settings())))

    @app.command()
    def outbox(
        as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False,
        last: Annotated[bool, typer.Option('--last', help='The newest mail only.')] = False,
    ) -> None:
        """Print the mails that wait here because no mail server is set, the newest first."""
        mails = root.outbox(Settings())[: 1 if last else None]
        if as_json:
            print(json.dumps([asdict(mail) for mail in mails], default=str, ensure_ascii=False))
        else:
            print('\n\n'.join(map(_mail_report, mails)) or 'the outbox is empty')

    @app.command()
    def migrate() -> None:
        """Apply the migrations that the database lacks."""
        applied = asyncio.run(root.migrate(Settings()))
        print('\n'.join(f'applied {name}' for name in applied) or 'nothing to apply')

    @app.command()
    def doctor(as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False) -> None:
        """Tell which adapters are in force and try each for real."""
        answers = asyncio.run(root.doctor(Settings()))
        if as_json:
            print(json.dumps({name: asdict(found) for name, found in answers.items()}))
        else:
            width = max(len(found.adapter) for found in answers.values())
            for name, found in answers.items():
                print(f'{"✓" if found.ok else "✗"} {name:<10} {found.adapter:<{width}}  {found.said}')
        if not all(found.ok for found in answers.values()):
            raise typer.Exit(1)


def _mail_report(mail: Mail) -> str:
    return f'{mail.at:%Y-%m-%d %H:%M:%S} UTC to {mail.to}: {mail.subject}\n\n{mail.text.rstrip()}'


async def _owner_link(root: Root, settings: Settings) -> str:
    async with root.services(settings) as services:
        token = await services.accounts.owner_link(settings.owner_email)
    return f'{address(settings)}/auth/link?token={token}'


def _bucket_commands(root: Root) -> typer.Typer:
    app = typer.Typer(help='Look after the bucket that holds the objects.', no_args_is_help=True)

    @app.command()
    def init() -> None:
        """Make the bucket and set it up: private, with versions, unfinished uploads removed. Safe to do again."""
        print('\n'.join(root.bucket_init(Settings())))

    return app


EmailArgument = Annotated[str, typer.Argument(metavar='EMAIL', help='The account.')]


def _hours_commands(root: Root) -> typer.Typer:
    app = typer.Typer(help='Give hours to accounts and show them.', no_args_is_help=True)

    async def with_account(email: str, use: 'Callable[[Services, UUID], Awaitable[Any]]') -> Any:
        async with root.services(Settings()) as services:
            try:
                user_id = await services.hours.account(email)
            except NotFound as error:
                raise NotFound(f'There is no account {email}.') from error
            return await use(services, user_id)

    @app.command()
    def grant(
        email: EmailArgument,
        hours: Annotated[float, typer.Argument(min=0.001, max=100_000, help='Hours to give.')],
        expires: Annotated[
            datetime | None, typer.Option(formats=['%Y-%m-%d'], help='First day on which they are void, in UTC.')
        ] = None,
        label: Annotated[str, typer.Option(help='What the ledger calls them.')] = 'Granted hours',
    ) -> None:
        """Give an account hours."""
        until = expires and expires.replace(tzinfo=UTC)
        if until is not None and until <= datetime.now(UTC):
            raise UsageError(f'{expires:%Y-%m-%d} has passed. Choose a later day.')

        async def give(services: 'Services', user_id: UUID) -> int:
            await services.hours.grant(
                user_id, round(hours * 3600), source='gift', label=label, key=f'gift:{uuid4()}', expires_at=until
            )
            return (await services.hours.balance(user_id)).seconds

        seconds = asyncio.run(with_account(email, give))
        print(f'{email} was given {hours:g} h and has {seconds / 3600:.2f} h now')

    @app.command()
    def show(
        email: EmailArgument, as_json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False
    ) -> None:
        """Show what an account has and used last."""

        async def ask(services: 'Services', user_id: UUID) -> dict[str, Any]:
            hours = services.hours
            balance = await hours.balance(user_id)
            return {
                'email': email,
                'seconds': balance.seconds,
                'reserved': balance.reserved,
                'state': balance.state,
                'grants': [
                    {'label': one.label, 'seconds': one.seconds, 'remaining': one.remaining, 'expires': one.expires_at}
                    for one in await hours.grants(user_id)
                ],
                'ledger': [
                    {'at': one.at, 'kind': one.kind, 'label': one.label, 'seconds': one.seconds, 'balance': one.balance}
                    for one in await hours.ledger(user_id, limit=20)
                ],
            }

        found = asyncio.run(with_account(email, ask))
        print(json.dumps(found, default=str, ensure_ascii=False) if as_json else _hours_report(found))

    return app


def _hours_report(found: Mapping[str, Any]) -> str:
    lines = [
        f'{found["email"]}: {found["seconds"] / 3600:.2f} h, {found["reserved"]} s held for jobs, {found["state"]}'
    ]
    for one in found['grants']:
        until = f', void from {one["expires"]:%Y-%m-%d %H:%M} UTC' if one['expires'] else ''
        lines.append(f'  {one["label"]}: {one["remaining"] / 3600:.2f} of {one["seconds"] / 3600:.2f} h left{until}')
    for one in found['ledger']:
        lines.append(f'  {one["at"]:%Y-%m-%d %H:%M:%S} {one["kind"]:<8} {one["seconds"]:>+9} s  {one["label"]}')
    return '\n'.join(lines)


def _demo_command(app: typer.Typer, root: Root) -> None:
    @app.command()
    def demo(
        reset: Annotated[bool, typer.Option('--reset', help='Delete the samples that are there first.')] = False,
    ) -> None:
        """Fill the owner's workspace with two sample datasets and a forecast of each."""
        made = asyncio.run(_fill_demo(root, Settings(), reset=reset))
        print('\n'.join(made) or 'The samples were deleted; `variosync demo --reset` makes them anew.')


async def _fill_demo(root: Root, settings: Settings, *, reset: bool) -> list[str]:
    """Fill the owner's sample workspace, wait for its jobs, and return a line for each thing that was made."""
    async with root.services(settings) as services:
        try:
            owner = await services.hours.account(settings.owner_email)
        except NotFound:
            await services.accounts.owner_link(settings.owner_email)
            owner = await services.hours.account(settings.owner_email)
        filling = asyncio.create_task(services.demo.reset(owner) if reset else services.demo.fill(owner))
        try:
            with _progress() as progress:
                await _see_through(services, settings, owner, filling, progress)
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            await services.stop()
        return [
            line
            for dataset, forecasts in await services.demo.made(owner)
            for line in (
                f'{dataset.name}: {dataset.rows or 0:,} rows, {dataset.faults or 0:,} faults',
                *(f'  {forecast.name}: {forecast.state}' for forecast in forecasts),
            )
        ]


async def _see_through(
    services: 'Services',
    settings: Settings,
    owner: UUID,
    filling: 'asyncio.Task[None]',
    progress: Callable[[float, str], None],
) -> None:
    """Show progress until the samples' jobs have ended; when nobody works on them, do it here."""
    seen, waited, helping = None, 0.0, False
    while True:
        done = filling.done()
        samples = {dataset.id for dataset, _ in await services.demo.made(owner)}
        jobs = [job for job in await services.jobs.running(owner) if job.dataset_id in samples]
        if done and not jobs:
            return await filling
        running = next((job for job in jobs if job.state == 'running'), None)
        now = [(job.id, job.state, job.progress, job.message) for job in jobs]
        waited, seen = (waited + PAUSE if now and now == seen else 0.0), now
        # What a killed server left looks as if it ran.
        if waited > (PATIENCE if running is None else SILENCE) and not helping:
            helping = True
            await services.start(workers=max(1, settings.workers))
        if running is not None:
            progress(running.progress, f'{running.title}. {running.message}')
        await asyncio.sleep(PAUSE)


PAUSE = 0.25
PATIENCE = 2.0  # for a server to take a job before we work on it ourselves
SILENCE = 10.0  # of a job that runs, before we look whether anybody works on it


FileArgument = Annotated[Path, typer.Argument(metavar='FILE', help='The file to read.')]
JsonOption = Annotated[bool, typer.Option('--json', help='Print one JSON object.')]
MemoryOption = Annotated[str, typer.Option(help='Memory the work may use.')]
ZoneOption = Annotated[str, typer.Option(help='Zone of stamps that name none.')]
DayFirstOption = Annotated[
    bool | None, typer.Option('--day-first/--month-first', help='How to read dates such as 03/04/2025.')
]


EncodingOption = Annotated[str | None, typer.Option(help='Encoding, such as utf-8, cp1252 or shift_jis.')]
DelimiterOption = Annotated[str | None, typer.Option(help='What separates cells, such as ";" or "\\t".')]
QuoteOption = Annotated[str | None, typer.Option(help='What encloses cells; "" for nothing.')]
EscapeOption = Annotated[str | None, typer.Option(help='What makes a quote in a cell ordinary; "" for nothing.')]
CommentOption = Annotated[str | None, typer.Option(help='How lines begin that are no records.')]
SkipOption = Annotated[int | None, typer.Option(min=0, help='Lines above the table.')]
HeaderOption = Annotated[int | None, typer.Option('--header-lines', min=0, help='Lines of the header; 0 for none.')]
SheetOption = Annotated[str | None, typer.Option(help='Sheet of a workbook.')]
MemberOption = Annotated[str | None, typer.Option(help='File of an archive.')]
DecimalOption = Annotated[str | None, typer.Option(help='Decimal mark: "." or ",".')]
ShapeOption = Annotated[str, typer.Option(help='Shape of the table: auto, long or wide.')]
DuplicatesOption = Annotated[
    str, typer.Option(help='Which record of one series and time is kept: auto, last, first or mean.')
]
OffOption = Annotated[str, typer.Option(help='Repairs not to make, comma-separated, such as unit,duplicate.')]
OutOption = Annotated[Path, typer.Option('-o', '--out', help='OUT.parquet or OUT.csv.')]
TimeOption = Annotated[str, typer.Option(help='Column of time.')]
TargetOption = Annotated[str, typer.Option(help='Column to forecast.')]
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


def _file_commands(app: typer.Typer, root: Root) -> None:
    def local(verb: str, file: Path, memory: str, **arguments: Any) -> dict[str, Any]:
        if not file.is_file():
            raise UsageError(f'There is no file {file}. Check the path.')
        given = {'path': str(file.absolute()), 'name': file.name, 'memory': _bytes(memory), **arguments}
        with _progress() as progress:
            try:
                return root.run_local(
                    f'core.tasks:{verb}_file',
                    given,
                    memory=_bytes(memory) + CHILD_OVERHEAD,
                    timeout=86_400,
                    progress=progress,
                )
            except AmbiguousDates as error:
                raise AmbiguousDates(f'{error.message} Here: --day-first or --month-first.') from error

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
        time_zone: ZoneOption = 'UTC',
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
        """Say how a file would be read: dialect, columns, rows and every fault."""
        options = _options(
            time_zone=time_zone,
            day_first=day_first,
            decimal=decimal,
            shape=shape,
            duplicates=duplicates,
            off=_words(off),
            reading={
                'encoding': encoding,
                'delimiter': None if delimiter is None else TABS.get(delimiter, delimiter),
                'quote': quote,
                'escape': escape,
                'comment': comment,
                'skip': skip,
                'header_lines': header_lines,
                'sheet': sheet,
                'member': member,
            },
        )
        where: dict[str, str | None] = {
            name: value for name, value in (('kind', kind), ('action', action)) if value
        } | ({} if column is None else {'column': column or None})
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
        out: OutOption,
        raw: Annotated[bool, typer.Option('--raw', help='The table as text, cells unchanged (to .csv).')] = False,
        memory: MemoryOption = '512MB',
        time_zone: ZoneOption = 'UTC',
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
        """Write the clean table of a file as Parquet or CSV."""
        target = _table(out)
        if raw and out.suffix != '.csv':
            raise UsageError(f'--raw writes text: {out} must end in .csv.')
        options = _options(
            time_zone=time_zone,
            day_first=day_first,
            decimal=decimal,
            shape=shape,
            duplicates=duplicates,
            off=_words(off),
            reading={
                'encoding': encoding,
                'delimiter': None if delimiter is None else TABS.get(delimiter, delimiter),
                'quote': quote,
                'escape': escape,
                'comment': comment,
                'skip': skip,
                'header_lines': header_lines,
                'sheet': sheet,
                'member': member,
            },
        )
        report = local('convert', file, memory, out=str(target), raw=raw, options=options)
        print(json.dumps(report, ensure_ascii=False) if as_json else _summary(report, out))

    @app.command()
    def forecast(
        file: FileArgument,
        time: TimeOption,
        target: TargetOption,
        h: HorizonOption,
        out: OutOption,
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
        day_first: DayFirstOption = None,
        cores: CoresOption = 1,
        memory: MemoryOption = '4GB',
        as_json: JsonOption = False,
    ) -> None:
        """Forecast every series of a file."""
        if future is not None and not future.is_file():
            raise UsageError(f'There is no file {future}. Check the path.')
        asked = {'time': time, 'id': id_column, 'target': target, 'h': h, 'freq': freq, 'cores': cores, 'seed': seed}
        asked |= {
            'models': _words(models),
            'levels': _levels(level),
            'regressors': _words(regressors),
            'static': _words(static),
            'holidays': holidays,
            'future': future and str(future.absolute()),
            'budget': budget,
            'out': str(_table(out)),
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
        time: TimeOption,
        target: TargetOption,
        h: HorizonOption,
        out: OutOption,
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
        day_first: DayFirstOption = None,
        cores: CoresOption = 1,
        memory: MemoryOption = '4GB',
        as_json: JsonOption = False,
    ) -> None:
        """Measure models on the past of a file: what they would have forecast, beside what came."""
        if by not in (None, 'horizon', 'series'):
            raise UsageError(f'--by takes horizon or series, not "{by}".')
        asked = {'time': time, 'id': id_column, 'target': target, 'h': h, 'freq': freq, 'cores': cores, 'seed': seed}
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
            'day_first': day_first,
        }
        report = local('backtest', file, memory, **asked)
        print(json.dumps(report, ensure_ascii=False) if as_json else _leaderboard(report, out))


TABS = {'\\t': '\t', 'tab': '\t'}
SUFFIXES = ('.csv', '.parquet')
MOST_NAMED = 10  # series in one line
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


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(f'--memory: {error}.') from error


def _options(*, reading: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """What a user says about a file, as tasks take it; only what was said."""
    said = {name: value for name, value in reading.items() if value is not None}
    return {name: value for name, value in others.items() if value not in (None, [])} | {'reading': said}


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


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """Show progress on a terminal; say nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda part, text: None
        return
    yield lambda part, text: print(f'\r\x1b[K{part:4.0%} {text}', end='', file=sys.stderr, flush=True)
    print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def _summary(report: Mapping[str, Any], out: Path) -> str:
    read, accepted = report['rows_read'], report['rows_accepted']
    repaired, rejected = report['rows_repaired'], report['rows_rejected']
    return f'{out}: {read:,} read = {accepted:,} accepted + {repaired:,} repaired + {rejected:,} rejected'


def _report(report: Mapping[str, Any]) -> str:
    lines = [_summary(report, Path('rows')), *(f'note: {note}' for note in report['notes'])]
    lines += [f'{column["name"]:<32} {column["type"]:<12} {column["role"]}' for column in report['columns']]
    lines += [
        f'line {fault["line"]}: {fault["column"] or "record"} {fault["kind"]} {fault["value"]!r} {fault["action"]}'
        for fault in report['faults'][:20]
    ]
    return '\n'.join(lines)


def _forecast_summary(report: Mapping[str, Any], out: Path) -> str:
    done = f'{out}: {report["rows"]:,} rows, {report["series_ok"]:,} of {report["series"]:,} series forecast'
    return '\n'.join([*(f'warning: {text}' for text in report['warnings']), done])


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
        named = ', '.join(fewer[:MOST_NAMED])
        short.append(f'fewer windows: {named}{f" and {len(fewer) - MOST_NAMED:,} more" * (len(fewer) > MOST_NAMED)}')
    return '\n'.join([*short, *table, f'{out}: {measured:,} of {report["series"]:,} series, {windows:,} windows'])


def _figure(value: float | None, form: str) -> str:
    return '–' if value is None else format(value, form)


def _until_stopped(work: Awaitable[None]) -> None:
    """Run until Ctrl-C or SIGTERM; either lets the work give back what it holds."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await work

    asyncio.run(main())
