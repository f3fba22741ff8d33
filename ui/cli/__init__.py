"""The `variosync` command. It receives its factories as an argument and imports lazily, so that `--help` is quick."""

import errno
import os
import re
import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from core.errors import VariosyncError
from core.settings import Settings
from ui.cli.datasets import datasets_commands
from ui.cli.demo import demo_command
from ui.cli.files import CHILD_OVERHEAD, file_commands
from ui.cli.hours import hours_commands
from ui.cli.root import Root
from ui.cli.server import bucket_commands, server_commands
from ui.cli.upload import upload_command

__all__ = ['CHILD_OVERHEAD', 'Root', 'commands', 'run']

EXIT_USAGE = 2
UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE)
CommandError = typer.BadParameter.__mro__[2]  # ClickException, which typer does not name in public


def run(root: Root) -> None:
    """Run the command line; bad input ends with exit status 2 and one line."""
    try:
        status = commands(root)(standalone_mode=False)
        sys.stdout.flush()
    except VariosyncError as error:
        _stop(error.message)
    except ValidationError as error:
        _stop(f'{_wrong_setting(error)}. See docs/ENV_VARS.md.')
    except SettingsError as error:
        found = re.search(r'field "(\w+)"', str(error))
        field = Settings.model_fields.get(found[1]) if found else None
        _stop(f'The setting {field.alias if field else ""} must be JSON and cannot be read. See docs/ENV_VARS.md.')
    except OSError as error:
        # What is written to a file of a name says which, and is none of ours.
        if error.filename is not None or error.errno not in UNWRITTEN:
            raise
        _leave_output()
        if error.errno == errno.EPIPE:  # who reads has seen enough
            raise SystemExit(1) from None
        _stop(f'The output cannot be written: {os.strerror(error.errno)}')
    except typer.Exit as leave:
        raise SystemExit(leave.exit_code) from None
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    except CommandError as error:
        if type(error).__name__ == 'NoArgsIsHelpError':  # its message is the help, in lines
            print(error.format_message(), file=sys.stderr)
            raise SystemExit(EXIT_USAGE) from None
        _stop(f'{error.format_message().rstrip(".")}. Try `{_command(error)} --help`.')
    else:
        raise SystemExit(status or 0)


def _leave_output() -> None:
    """Let what waits to be written go nowhere: Python would try again as it ends, and say so."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(error: Any) -> str:
    """The command that was written wrongly, such as `variosync forecast`."""
    context, words = getattr(error, 'ctx', None), list[str]()
    while context is not None and context.parent is not None:
        words.insert(0, context.info_name)
        context = context.parent
    return ' '.join(['variosync', *words])


def _wrong_setting(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    reason = first['msg'].removeprefix('Value error, ').rstrip('.')
    # Settings that do not work together are named in the reason.
    return f'The setting {".".join(map(str, first["loc"]))} is not valid: {reason}' if first['loc'] else reason


def _version(shown: bool) -> None:
    if shown:
        from importlib.metadata import PackageNotFoundError, version

        try:
            told = version('variosync')
        except PackageNotFoundError:  # a checkout that is run as it is
            told = '(not installed)'
        print(f'variosync {told}')
        raise typer.Exit


def _stop(message: str) -> None:
    print(f'variosync: {" ".join(message.split())}', file=sys.stderr)
    raise SystemExit(EXIT_USAGE)


def commands(root: Root) -> typer.Typer:
    """Every command, with what `root` lends it."""
    app = typer.Typer(
        name='variosync',
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def program(
        shown: Annotated[
            bool, typer.Option('--version', help='Show the version.', is_eager=True, callback=_version)
        ] = False,
    ) -> None:
        """Time series: clean data, a live dashboard and a forecast whose bands hold."""

    server_commands(app, root)
    file_commands(app, root)
    upload_command(app)
    app.add_typer(datasets_commands(), name='datasets')
    app.add_typer(hours_commands(root), name='hours')
    app.add_typer(bucket_commands(root), name='bucket')
    demo_command(app, root)
    return app
