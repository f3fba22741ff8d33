"""The SQL functions of hours against a model of their rules, after every step of random histories; and many at once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from storage.embedded.server import EmbeddedPostgres, Role
from storage.postgres import Postgres
from tests.flows.hours_model import CALLS, NEW_JOB, SECOND, SNAPSHOT, Model, arguments

Connection = psycopg.Connection[Any]
ROWS = 'select id, seconds, balance, kind, at, key from public.hour_ledger where user_id = %s order by id'
STEPS = st.sampled_from((1, 5, 15, 30, 30, 30, 30, 76, 200, 400))
FRACTIONS = st.integers(1, SECOND)
AT_ONCE = 12
LIVES = st.sampled_from((None, None, -60, 20, 40, 100, 400))


class Life(RuleBasedStateMachine):
    """One user's history, in a transaction that is not kept."""

    connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self.user = new_user(self.connection)
        self.model = Model()
        self.at = SECOND
        self.grants = 0
        self.jobs: list[UUID] = []
        self.last: dict[str, Any] = {}
        self.rows: list[Any] = []

    def teardown(self) -> None:
        self.connection.rollback()

    def call(self, name: str, **values: Any) -> None:
        """Make a call on both sides, and compare what they return and how they stand then."""
        expected = getattr(self.model, name)(**values)
        with self.connection.pipeline():
            answer = self.connection.execute(CALLS[name], arguments(self.user, values))
            snapshot = self.connection.execute(SNAPSHOT, {'user': self.user})
            ledger = self.connection.execute(ROWS, (self.user,))
        assert one(answer) == expected
        assert one(snapshot) == self.model.state()
        rows = ledger.fetchall()
        assert rows[: len(self.rows)] == self.rows, 'entries were changed or taken away'
        self.rows = rows
        state = self.model.state()
        assert state['ledger'] == state['balance'] >= 0
        assert self.model.error < 1

    @initialize(seconds=st.sampled_from((5, 60, 400, 7200)), lives=LIVES)
    def join(self, seconds: int, lives: int | None) -> None:
        self.give(30, 1, seconds=seconds, priority=50, lives=lives, again=0)

    @rule(
        step=STEPS,
        fraction=FRACTIONS,
        seconds=st.sampled_from((1, 20, 90, 400, 3600)),
        priority=st.sampled_from((10, 50, 90)),
        lives=LIVES,
        again=st.sampled_from((0, 0, 0, 1)),
    )
    def give(self, step: int, fraction: int, *, seconds: int, priority: int, lives: int | None, again: int) -> None:
        at = self.later(step, fraction)
        self.grants += 1 - again
        expires = None if lives is None else at + lives * SECOND
        key = f'{self.user}:{self.grants}'
        self.call('give', key=key, seconds=seconds, priority=priority, expires=expires, at=at)

    @rule(step=STEPS, fraction=FRACTIONS)
    def lapse(self, step: int, fraction: int) -> None:
        self.call('lapse', at=self.later(step, fraction))

    @rule(step=STEPS, fraction=FRACTIONS, idle=st.sampled_from((0, 0, 0, 10, 30, 200, 299, 300, 301, 1000)))
    def beat(self, step: int, fraction: int, idle: int) -> None:
        self.last = {'idle': idle, 'at': self.later(step, fraction)}
        self.call('beat', **self.last)

    @rule(fraction=FRACTIONS, beats=st.sampled_from((2, 4, 12)), away=st.booleans())
    def watch(self, fraction: int, beats: int, away: bool) -> None:
        """A page stays open; its user is there, or gone away from it."""
        for beat in range(beats):
            self.last = {'idle': 30 * beat if away else 0, 'at': self.later(30, fraction)}
            self.call('beat', **self.last)

    @precondition(lambda self: self.model.viewing)
    @rule(late=st.integers(1, 20 * SECOND), idle=st.sampled_from((0, 30, 299, 400)))
    def late_beat(self, late: int, idle: int) -> None:
        self.call('beat', idle=idle, at=max(1, self.at - late))

    @precondition(lambda self: self.last and self.model.viewing)
    @rule()
    def beat_again(self) -> None:
        self.call('beat', **self.last)

    @rule(step=STEPS, fraction=FRACTIONS)
    def pause(self, step: int, fraction: int) -> None:
        self.call('pause', at=self.later(step, fraction))

    @rule(step=STEPS, fraction=FRACTIONS)
    def resume(self, step: int, fraction: int) -> None:
        self.call('resume', at=self.later(step, fraction))

    @rule(step=STEPS, fraction=FRACTIONS, seconds=st.sampled_from((0, 1, 30, 100, 500)), again=st.booleans())
    def reserve(self, step: int, fraction: int, seconds: int, again: bool) -> None:
        """Hold seconds for a new job, or for one that ended and is run again."""
        ended = [job for job in self.jobs if job not in self.model.held]
        if not (again and ended):
            ended = [uuid4()]
            self.jobs += ended
            self.connection.execute(NEW_JOB, {'job': ended[0], 'user': self.user})
        self.call('reserve', job=ended[0], seconds=seconds, at=self.later(step, fraction))

    @precondition(lambda self: self.jobs)
    @rule(step=STEPS, fraction=FRACTIONS, data=st.data(), measured=st.sampled_from((0, 7, 60, 1000)))
    def settle(self, step: int, fraction: int, data: st.DataObject, measured: int) -> None:
        """A job succeeded after `measured` seconds; 0 is how failure and cancellation are settled. Twice is once."""
        self.call('settle', job=data.draw(st.sampled_from(self.jobs)), measured=measured, at=self.later(step, fraction))

    @rule(fraction=FRACTIONS, lives=st.sampled_from((20, 40)), measured=st.sampled_from((0, 7)))
    def work_past_expiry(self, fraction: int, lives: int, measured: int) -> None:
        """A job is paid from hours that lapse before it ends."""
        self.give(1, fraction, seconds=90, priority=10, lives=lives, again=0)
        self.reserve(1, fraction, seconds=100, again=False)
        self.call('settle', job=self.jobs[-1], measured=measured, at=self.later(76, fraction))

    def later(self, step: int, fraction: int) -> int:
        """Let time pass."""
        self.at += step * SECOND + fraction - SECOND
        return self.at


def test_random_histories_follow_the_rules(postgres: EmbeddedPostgres) -> None:
    class Histories(Life):
        connection = psycopg.connect(postgres.dsn('superuser'))

    with Histories.connection:
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=200,
                stateful_step_count=15,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_many_at_once_spend_the_same_hours_once(postgres: EmbeddedPostgres, database: Postgres) -> None:
    """Twelve pages open and twelve jobs are asked for at the same moment; the hours are enough for seven of them."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(psycopg.connect(postgres.dsn('superuser'), autocommit=True)) for _ in range(AT_ONCE)
        ]
        user = new_user(opened[0])
        ask(opened[0], 'give', user, key='a', seconds=100, priority=50, expires=None, at=0)
        jobs = [uuid4() for _ in opened]
        for job in jobs:
            opened[0].execute(NEW_JOB, {'job': job, 'user': user})
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        barrier = Barrier(AT_ONCE)

        def start(place: int) -> tuple[str, int]:
            barrier.wait()
            state = ask(opened[place], 'beat', user, idle=0, at=SECOND + place)
            return state, ask(opened[place], 'reserve', user, job=jobs[place], seconds=14, at=SECOND)

        found = list(threads.map(start, range(AT_ONCE)))
        assert {state for state, _ in found} == {'running'}
        assert sorted(missing for _, missing in found) == [0] * 7 + [12] * 5
        stood = one(opened[0].execute(SNAPSHOT, {'user': user}))
        assert (stood['balance'], stood['ledger'], stood['held'], stood['sessions']) == (2, 2, 98, ['running'])
        assert stood['wrong'] == 0


CHANGE = 'update public.hour_ledger set seconds = 9999, balance = 9999'
CHANGES = [
    CHANGE,
    'update public.hour_grants set remaining = 9999',
    'delete from public.hour_ledger',
    'insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key) '
    "select user_id, id, 'grant', 'x', 1, 1, 'x' from public.hour_grants",
    "update public.usage_sessions set billed_through = 'infinity'",
    'select hours.give(user_id, 1, $$gift$$, $$x$$, $$x$$, 1, null, now()) from public.hour_grants',
]


@pytest.mark.parametrize(
    ('role', 'change'), [('superuser', CHANGE), *((role, change) for role in ('app', 'worker') for change in CHANGES)]
)
def test_nobody_writes_the_ledger_by_hand(
    postgres: EmbeddedPostgres, database: Postgres, role: Role, change: str
) -> None:
    """Not even the owner of the tables changes an entry."""
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        user = new_user(connection)
        ask(connection, 'give', user, key='a', seconds=100, priority=50, expires=None, at=0)
    with psycopg.connect(postgres.dsn(role)) as connection:
        if role == 'app':
            connection.execute("select set_config('role', 'authenticated', true)")
            connection.execute("select set_config('request.jwt.claims', %s, true)", (f'{{"sub": "{user}"}}',))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(change)


def test_what_was_abandoned_is_swept(postgres: EmbeddedPostgres, database: Postgres) -> None:
    """A page that closed without a word costs nothing after its last beat, and lapsed hours are written off."""
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as connection:
        user = new_user(connection)
        ask(connection, 'give', user, key='a', seconds=100, priority=50, expires=None, at=0)
        ask(connection, 'give', user, key='b', seconds=70, priority=10, expires=60 * SECOND, at=0)
        for beat in range(3):
            ask(connection, 'beat', user, idle=0, at=beat * 20 * SECOND)
        with psycopg.connect(postgres.dsn('worker'), autocommit=True) as worker:
            assert [row[0] for row in worker.execute('select public.sweep_hours()')] == [user]
            assert worker.execute('select public.sweep_hours()').fetchall() == []
        stood = one(connection.execute(SNAPSHOT, {'user': user}))
        view = 'select seconds, reserved, viewing from public.hour_balances where user_id = %s'
        assert connection.execute(view, (user,)).fetchone() == (100, 0, None)
    assert stood['sessions'] == []
    assert stood['kinds'] == {'grant': 170, 'viewing': -40, 'expiry': -30}
    assert stood['balance'] == stood['ledger'] == 100


def ask(connection: Connection, name: str, user: UUID, **values: Any) -> Any:
    """Call a function of hours and return its answer."""
    return one(connection.execute(CALLS[name], arguments(user, values)))


def new_user(connection: Connection) -> UUID:
    """An account without hours."""
    user = uuid4()
    connection.execute('insert into public.profiles (id, email) values (%s, %s)', (user, f'{user.hex}@example.com'))
    return user


def one(cursor: psycopg.Cursor[Any]) -> Any:
    """The only value of an answer."""
    row = cursor.fetchone()
    assert row is not None
    return row[0]
