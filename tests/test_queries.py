"""Every named statement is valid, explained, and used; every name that is used exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.errors import Misconfigured
from storage.embedded.server import EmbeddedPostgres
from storage.postgres import QUERIES, load_statements

ROOT = QUERIES.parent.parent
STATEMENTS = load_statements()
USE = re.compile(r"""\.(?:one|first|all|run|_change)\(\s*['"]([a-z0-9_]+)['"]""")
SOURCES = [*(ROOT / 'core').rglob('*.py'), *(ROOT / 'storage').rglob('*.py')]
PARAMETER = re.compile(r'%\((\w+)\)s')


def used() -> set[str]:
    """Names of statements that the code asks for."""
    return {name for source in SOURCES for name in USE.findall(source.read_text())}


def roles() -> Iterator[tuple[str, str]]:
    """Pairs of statement and role, where the code asks for a statement right inside a transaction's block."""
    logins = {'transaction': 'authenticated', 'system': 'variosync_worker'}
    for text in (text for text in map(Path.read_text, SOURCES) if USE.search(text)):
        for block in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.AsyncWith)):
            calls = [item.context_expr for item in block.items if isinstance(item.context_expr, ast.Call)]
            opened = {logins.get(call.func.attr) for call in calls if isinstance(call.func, ast.Attribute)} - {None}
            names = USE.findall(ast.unparse(block))
            yield from ((name, role) for role in opened for name in names)


def numbered(sql: str) -> str:
    """The statement with `$1` for its first parameter, as Postgres plans it."""
    names = list(dict.fromkeys(PARAMETER.findall(sql)))
    return PARAMETER.sub(lambda match: f'${names.index(match[1]) + 1}', sql).replace('%%', '%')


@pytest.fixture(scope='module')
def connection(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """One for all statements: to open it takes longer than to plan ten of them."""
    with psycopg.connect(postgres.dsn('superuser'), autocommit=True) as opened:
        yield opened


@pytest.mark.parametrize('name', STATEMENTS)
def test_postgres_can_plan_it(connection: psycopg.Connection[Any], name: str) -> None:
    with connection.transaction(force_rollback=True):
        plan = connection.execute(f'explain (generic_plan) {numbered(STATEMENTS[name].sql)}').fetchall()
    assert plan


@pytest.mark.parametrize(('name', 'role'), sorted(set(roles())))
def test_the_role_that_runs_it_may(connection: psycopg.Connection[Any], name: str, role: str) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(f'set local role {role}')
        plan = connection.execute(f'explain (generic_plan) {numbered(STATEMENTS[name].sql)}').fetchall()
    assert plan


@pytest.mark.parametrize('name', STATEMENTS)
def test_it_is_one_statement_with_a_purpose(name: str) -> None:
    statement = STATEMENTS[name]
    assert statement.purpose.endswith('.')
    assert ';' not in statement.sql
    assert '%' not in PARAMETER.sub('', statement.sql).replace('%%', '')


def test_every_name_that_is_used_exists() -> None:
    assert used() - STATEMENTS.keys() == set()


def test_every_statement_is_used() -> None:
    assert STATEMENTS.keys() - used() == set()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('-- name: a\nselect 1;', 'has no purpose'),
        ('-- name: a\n-- One.\nselect 1;\n-- name: a\n-- Two.\nselect 2;', 'exists already'),
        ('select 1;\n-- name: a\n-- One.\nselect 1;', 'must begin with'),
        ('', 'must begin with'),
    ],
)
def test_a_file_that_breaks_the_format_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / 'bad.sql').write_text(text)
    with pytest.raises(Misconfigured, match=message):
        load_statements(tmp_path)


def test_statements_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / 'good.sql').write_text('-- name: a\n-- One.\nselect 1;\n\n-- name: b\n-- Two.\nselect\n  2;\n')
    found = load_statements(tmp_path)
    assert {name: (s.purpose, s.sql) for name, s in found.items()} == {
        'a': ('One.', 'select 1'),
        'b': ('Two.', 'select\n  2'),
    }
