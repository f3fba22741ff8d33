"""`python -m tests.fakes.supabase --port N --state DIR`: the fake as a process of its own, to be killed."""

import argparse
import json
from pathlib import Path

from tests.fakes.supabase import FakeSupabase, Project

parser = argparse.ArgumentParser(prog='python -m tests.fakes.supabase')
parser.add_argument('--port', type=int, default=0)
parser.add_argument('--state', type=Path, help='folder in which everything survives a kill')
parser.add_argument('--project', type=json.loads, default={}, help='settings as JSON, such as {"autoconfirm": false}')
given = parser.parse_args()
fake = FakeSupabase(project=Project(**given.project), port=given.port, state=given.state)
print(f'Supabase ready: {fake.url}', flush=True)
fake.run()
