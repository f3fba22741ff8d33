"""The house: what may import what, and what must stay small."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.unit.analysis.query.versions import version, walk

ROOT = Path(__file__).parent.parent
HEAVY = {'pandas', 'polars', 'lightgbm', 'prophet', 'statsforecast', 'numba', 'scipy', 'sklearn', 'torch'}


def test_root_is_small():
    assert len((ROOT / 'run_nicegui.py').read_text().splitlines()) <= 60


def test_import_rules_hold():
    result = subprocess.run(
        [Path(sys.executable).with_name('lint-imports'), '--no-cache'], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


def test_a_command_does_not_wait_for_numpy_and_web_and_queries_import_no_model_library(tmp_path: Path):
    """One process: it imports what a command does, then the web, then asks for every form of every kind of query."""
    held = {f'a · {name} · x': walk(3000, seed=at) for at, name in enumerate('bc')}
    version(tmp_path, held | {'d · e': walk(10, seed=3)})
    script = (
        'import sys, run_nicegui, ui.cli, core.services, storage.adapters\n'
        'print("numpy" in sys.modules)\n'
        'import ui.app\n'
        f'print(sorted({HEAVY!r} & set(sys.modules)))\n'
        'from pathlib import Path\n'
        'from core.analysis.query import Filter, Overlay, Query, Stored, answer, encode\n'
        'from core.analysis.query.request import KINDS\n'
        'from functools import partial\n'
        'from ui.api.query import _csv, _json, _parquet\n'
        'folder = Path(sys.argv[1])\n'
        'files = sorted(folder.glob("data-*.parquet")), folder / "pyramid.parquet", folder / "series.parquet"\n'
        'stored = Stored(*files, measures=("y", "other", "cents"), keys=("place", "kind"))\n'
        'y, mean, odd = ("y",), (Overlay(name="mean"),), Filter(column="word", relation="eq", values=("odd",))\n'
        'asked = [Query(kind=kind, measures=y, compare="P1D", overlays=mean) for kind in KINDS]\n'
        'asked += [Query(measures=("cents", "y"), filters=(odd,)), Query(measures=("y", "other"))]\n'
        'asked += [Query(kind="hours", measures=y, group="*", zone="Asia/Kathmandu")]\n'
        'asked += [Query(kind="buckets", measures=y, group="place", aggregation=how) for how in ("p50", "last")]\n'
        'forms = partial(_csv, zone="Asia/Kathmandu"), _json, _parquet\n'
        'answers = [encode(answer(stored, one)) for one in asked]\n'
        'print(all(form(one) for one in answers for form in forms))\n'
        f'print(sorted({HEAVY!r} & set(sys.modules)))'
    )
    result = subprocess.run([sys.executable, '-c', script, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.splitlines() == ['False', '[]', 'True', '[]'], result.stderr


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
