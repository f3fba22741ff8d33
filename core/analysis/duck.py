"""DuckDB, locked down: the one way in which this product opens it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def connect(
    *, memory: int, threads: int = 1, workdir: Path | None = None, allow: Sequence[Path] | None = None
) -> 'duckdb.DuckDBPyConnection':
    """Return an in-memory connection that uses at most `memory` bytes and loads no extension.

    With `allow`, only these files and folders can be read or written; spilling goes to `workdir`.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        'memory_limit': f'{memory // 2**20}MB',
        'threads': threads,
        'autoinstall_known_extensions': False,
        'autoload_known_extensions': False,
        'temp_directory': str(workdir) if workdir else '',
    }
    connection = duckdb.connect(':memory:', config=config)
    connection.execute("set timezone = 'UTC'")
    if allow is not None:
        files = [str(path) for path in allow if not path.is_dir()]
        folders = [str(path) for path in (*allow, workdir) if path and path.is_dir()]
        connection.execute('set allowed_paths = ' + texts(files))
        connection.execute('set allowed_directories = ' + texts(folders))
        connection.execute('set enable_external_access = false')
    connection.execute('set lock_configuration = true')
    return connection


def single(connection: 'duckdb.DuckDBPyConnection', query: str, bound: Sequence[object] = ()) -> tuple[Any, ...]:
    """Return the only row of a query; fetching all of it leaves the connection free for the next one."""
    (row,) = connection.execute(query, list(bound)).fetchall()
    return tuple(row)


def identifier(name: str) -> str:
    """Return a column name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a string quoted for SQL."""
    return "'" + value.replace("'", "''") + "'"


def files(paths: Sequence[Path]) -> str:
    """Return the SQL that reads these Parquet files as one table."""
    return f'read_parquet({texts([str(path) for path in paths])})'


def texts(values: Sequence[str]) -> str:
    """Return strings as a list for SQL."""
    return '[' + ', '.join(text(value) for value in values) + ']'
