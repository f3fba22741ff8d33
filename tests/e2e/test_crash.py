"""Seeded kills of a server, a worker, tasks and the database under load: nothing is lost (`benchmarks.crash`)."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from benchmarks.crash.checks import ended_wrongly, ledger_errors
from benchmarks.crash.plan import COUNTERPARTS, EMBEDDED, plan
from tests.e2e.server import ROOT, python

pytestmark = pytest.mark.xdist_group('faults')
TIMES = {'worst recovery (s)', 'minutes'}  # the benchmark judges them, on a quiet machine


def test_nothing_is_lost_by_five_kills():
    said = subprocess.run(
        python('-m', 'benchmarks.crash', '--quick', '--seed', '9'),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    figures = [json.loads(line) for line in said.stdout.splitlines() if line.startswith('{')]
    missed = {figure['figure'] for figure in figures if not figure['holds']}
    assert figures, said.stdout + said.stderr
    assert missed <= TIMES, said.stdout + said.stderr
    assert {figure['figure']: figure['value'] for figure in figures}['kills'] == 5


def test_five_kills_are_of_everybody_at_every_moment():
    planned = plan(5, seed=9, victims=EMBEDDED)
    assert {kill.moment for kill in planned} == {*EMBEDDED}
    assert {kill.victim for kill in planned} == {victim for named in EMBEDDED.values() for victim in named}


def job(**changed: Any) -> dict[str, Any]:
    good = {'title': 'Convert a.csv', 'kind': 'convert', 'state': 'succeeded', 'told': 1, 'versions': 1, 'issued': 0}
    return good | {'settled': 1, 'held': 0, 'quote': 11, 'charged': 2, 'kept': 2, 'paid': 2} | changed


@pytest.mark.parametrize(
    'changed',
    [
        {'settled': 2},
        {'settled': 0},
        {'held': 1},
        {'charged': None},
        {'charged': 12, 'kept': 12, 'paid': 12},
        {'kept': 3},
        {'paid': 0},
        {'state': 'failed'},
    ],
)
def test_a_job_that_is_not_settled_once_is_found(changed: dict[str, Any]):
    assert list(ledger_errors([], [job()])) == []
    assert len(list(ledger_errors([], [job(**changed)]))) == 1


@pytest.mark.parametrize('changed', [{'remaining': 59}, {'least': -1}, {'below': 1}, {'gaps': 1}, {'sessions': 3}])
def test_a_balance_that_is_not_the_ledger_is_found(changed: dict[str, Any]):
    row = {'email': 'a@example.com', 'ledger': 60, 'remaining': 60, 'least': 0, 'below': 0, 'gaps': 0}
    row |= {'viewing': 4, 'sessions': 4}
    assert list(ledger_errors([row], [])) == []
    assert len(list(ledger_errors([row | changed], []))) == 1


@pytest.mark.parametrize('changed', [{'told': 2}, {'told': 0}, {'versions': 2}, {'versions': 0}, {'state': 'failed'}])
def test_an_end_that_is_not_the_only_one_is_found(changed: dict[str, Any]):
    assert list(ended_wrongly([job()])) == []
    assert len(list(ended_wrongly([job(**changed)]))) == 1


@pytest.mark.parametrize('victims', [EMBEDDED, COUNTERPARTS], ids=['embedded', 'counterparts'])
def test_a_plan_is_repeated_by_its_seed_and_covers_everything(victims: Mapping[str, Sequence[str]]):
    assert plan(50, seed=3, victims=victims) == plan(50, seed=3, victims=victims)
    assert plan(50, seed=3, victims=victims) != plan(50, seed=4, victims=victims)
    assert {(kill.victim, kill.moment) for kill in plan(200, seed=3, victims=victims)} == {
        (victim, moment) for moment, named in victims.items() for victim in named
    }
