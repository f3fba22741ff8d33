"""DuckDB, locked down: the one way in which this product opens it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from core.errors import Unavailable

if TYPE_CHECKING:
    import duckdb

AGAIN: Final = 0.05  # seconds between two times that what goes on is interrupted
LONGEST: Final = 10.0  # seconds for which that is done

_open: 'WeakSet[duckdb.DuckDBPyConnection]' = WeakSet()
_opening = Lock()


def connect(
    *,
    memory: int,
    threads: int = 1,
    workdir: Path | None = None,
    allow: Sequence[Path | str] | None = None,
    system: Any = None,
) -> 'duckdb.DuckDBPyConnection':
    """Return an in-memory connection that uses at most `memory` bytes and loads no extension.

    With `allow`, only these files and folders can be read or written; spilling goes to `workdir`. Some of them may be
    addresses that the fsspec file system `system` opens.
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
    with _opening:
        _open.add(connection)
    connection.execute("set timezone = 'UTC'")
    if allow is not None:
        if system is not None:
            connection.register_filesystem(system)
        files = [str(path) for path in allow if not Path(path).is_dir()]
        folders = [str(path) for path in (*allow, workdir) if path and Path(path).is_dir()]
        connection.execute('set allowed_paths = ' + texts(files))
        connection.execute('set allowed_directories = ' + texts(folders))
        connection.execute('set enable_external_access = false')
    connection.execute('set lock_configuration = true')
    return connection


def interrupt() -> None:
    """End what open connections of this process are at and, for some seconds, what they go on with until they close.

    So no thread outlives a stop by what it reads; the work goes on beside the caller.
    """
    with _opening:
        connections = WeakSet(_open)
    if _interrupted(connections):
        Thread(target=_interrupt_again, args=(connections,), name='the end of queries', daemon=True).start()


def _interrupt_again(connections: 'WeakSet[duckdb.DuckDBPyConnection]') -> None:
    until = monotonic() + LONGEST
    while connections and monotonic() < until:  # what is between two queries was not stopped by the first time
        sleep(AGAIN)
        connections = _interrupted(connections)


def _interrupted(connections: 'WeakSet[duckdb.DuckDBPyConnection]') -> 'WeakSet[duckdb.DuckDBPyConnection]':
    """Interrupt connections, and return those of them that are open still."""
    import duckdb

    still: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
    for connection in connections:
        with suppress(duckdb.ConnectionException):  # closed meanwhile
            connection.interrupt()
            still.add(connection)
    return still


@contextmanager
def told() -> Iterator[None]:
    """Say in our own error that stored data cannot be read."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise Unavailable('The stored data could not be read. Try again in a moment.') from error


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


def files(paths: Sequence[Path | str]) -> str:
    """Return the SQL that reads these Parquet files as one table."""
    return f'read_parquet({texts([str(path) for path in paths])})'


def stamped(instant: str, zone: str) -> str:
    """SQL: an instant in ISO 8601 with the offset that `zone` has then; in UTC where that is no whole minute."""
    wall, utc = f'timezone({text(zone)}, {instant})', f"timezone('UTC', {instant})"
    if zone == 'UTC':
        return f"replace({utc}::VARCHAR, ' ', 'T') || '+00:00'"
    ahead = f"date_diff('second', {utc}, {wall})"
    offset = f"printf('%s%02d:%02d', CASE WHEN {ahead} < 0 THEN '-' ELSE '+' END, " + (
        f'abs({ahead}) // 3600, abs({ahead}) // 60 % 60)'
    )
    local = f'{wall}::VARCHAR || {offset}'
    return f"replace(CASE WHEN {ahead} % 60 = 0 THEN {local} ELSE {utc}::VARCHAR || '+00:00' END, ' ', 'T')"


def texts(values: Sequence[str]) -> str:
    """Return strings as a list for SQL."""
    return '[' + ', '.join(text(value) for value in values) + ']'
