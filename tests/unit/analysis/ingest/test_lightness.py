"""What a conversion does not wait for."""

import subprocess
import sys

import openpyxl
import pyarrow as pa
import pyarrow.feather as feather
import pytest

DAYS = [f'2024-01-{day:02}' for day in range(1, 29)]
LONG = 'ds,id,y\n' + ''.join(f'{day},{key},{at}.5\n' for key in 'ab' for at, day in enumerate(DAYS))
MONTHS = ('Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec')
TABLES = {
    'long.csv': LONG,
    'faulty.csv': LONG.replace('1.5', 'n/a', 1).replace('2.5', 'x', 1) + '2024-02-01,a,1,2,3\n\n',
    'wide.csv': f'name,{",".join(DAYS)}\n' + ''.join(f'{key}{"," * (key == "b")}{",1" * 27},\n' for key in 'abc'),
    'months.csv': f'year,{",".join(MONTHS)}\n' + ''.join(f'{year}{",1.5" * 12}\n' for year in range(2000, 2020)),
    'lines.jsonl': ''.join(f'{{"ds": "{day}", "y": {at}}}\n' for at, day in enumerate(DAYS)),
}
SCRIPT = """
import sys
from pathlib import Path
from core.analysis.ingest import Options, convert, export, inspect

for path in map(Path, sys.argv[1:]):
    folder = path.with_name(f'{path.name}.version')
    folder.mkdir()
    recipe = [{'do': 'filter', 'where': 'y > 2'}] if path.name == 'long.csv' else []
    convert(path, name=path.name, into=folder, options=Options(recipe=recipe), progress=lambda share, text: None)
    inspect(path, name=path.name, options=Options())
    export(path, name=path.name, out=folder / 'out.csv', options=Options())
    if 'pandas' in sys.modules:
        break
else:
    path = None
print(path and path.name)
"""


@pytest.mark.slow
def test_no_conversion_waits_for_pandas(tmp_path):
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    book = openpyxl.Workbook()
    for row in LONG.splitlines():
        book.active.append(row.split(','))
    book.save(tmp_path / 'book.xlsx')
    columns = {'ds': DAYS, 'y': [f'{at}.5' for at in range(28)], 'word': ['on', 'off'] * 14}
    kinds = [('ds', pa.string_view()), ('y', pa.string()), ('word', pa.dictionary(pa.int8(), pa.string()))]
    feather.write_feather(pa.table(columns).cast(pa.schema(kinds)), tmp_path / 'columns.feather')
    paths = sorted(tmp_path.iterdir())
    told = subprocess.run([sys.executable, '-c', SCRIPT, *paths], capture_output=True, text=True)
    assert told.stdout == 'None\n', told.stderr
