"""The house: what may import what, and what must stay small."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_root_is_small():
    assert len((ROOT / 'run_nicegui.py').read_text().splitlines()) <= 60


def test_import_rules_hold():
    result = subprocess.run(
        [Path(sys.executable).with_name('lint-imports'), '--no-cache'], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


def test_web_process_imports_no_model_library():
    script = (
        'import sys, run_nicegui, ui.app, ui.cli, core.services, storage.adapters\n'
        'heavy = {"pandas", "polars", "lightgbm", "prophet", "statsforecast", "numba", "scipy", "sklearn", "torch"}\n'
        'print(sorted(heavy & set(sys.modules)))'
    )
    result = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == '[]'


def test_what_users_name_never_reaches_the_language_of_props():
    """`element.props('…')` reads a small language: text in it could add an attribute that the browser runs."""
    found = [
        f'{path.relative_to(ROOT)}:{call.lineno}'
        for path in (ROOT / 'ui').rglob('*.py')
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == 'props'
        if not all(isinstance(given, ast.Constant) for given in [*call.args, *(word.value for word in call.keywords)])
    ]
    assert found == []


def test_nothing_is_left_unfinished():
    marks = ('TO' + 'DO', 'FIX' + 'ME', 'raise Not' + 'Implemented')
    found = [
        f'{path.relative_to(ROOT)}: {mark}'
        for folder in ('core', 'modal_functions', 'storage', 'ui', 'tests', 'benchmarks')
        for path in (ROOT / folder).rglob('*.py')
        for mark in marks
        if mark in path.read_text()
    ]
    assert found == []
