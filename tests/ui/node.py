"""The modules of panels in one Node, that of Playwright: to start one costs ten times what a test does."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable

MODULES = Path(__file__).parent.parent.parent / 'ui' / 'static' / 'panels'
# Each body has a thread of its own, and with it modules that nobody has used and nothing that another made global.
SERVE = """
import { createInterface } from 'node:readline';
import { Worker } from 'node:worker_threads';
for await (const line of createInterface({ input: process.stdin })) {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: JSON.parse(line) });
    const told = await new Promise((resolve) => worker.once('message', resolve).once('error',
        (error) => resolve(JSON.stringify({ error: String(error?.stack ?? error) }))));
    await worker.terminate();
    process.stdout.write(`${told}\\n`);
}
"""
WORKER = """
import { parentPort, workerData } from 'node:worker_threads';
const { names, body, given } = workerData;
const modules = await Promise.all(names.map((name) => import(`./${name}.js`)));
const Body = Object.getPrototypeOf(async () => {}).constructor;
const plain = (_, value) => ArrayBuffer.isView(value) ? [...value] : value;
const answer = await new Body(...names, 'given', `{${body}\\n}`)(...modules, given);
parentPort.postMessage(JSON.stringify({ answer }, plain));
"""


@contextmanager
def running(folder: Path, names: Sequence[str]) -> Iterator[Callable[..., Any]]:
    """Give what runs a body of JavaScript that has the modules of these names and `given`, and returns what it returns.

    `folder` takes a copy of the modules, for Node to know that they are modules.
    """
    for file in MODULES.glob('*.js'):
        shutil.copy(file, folder)
    (folder / 'package.json').write_text('{"type": "module"}')
    (folder / 'worker.js').write_text(WORKER)
    (folder / 'serve.js').write_text(SERVE)
    command = [compute_driver_executable()[0], 'serve.js']
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        asked, answers = node.stdin, node.stdout
        assert asked is not None
        assert answers is not None

        def run(body: str, given: Any = None) -> Any:
            asked.write(json.dumps({'names': names, 'body': body, 'given': given}) + '\n')
            asked.flush()
            told = json.loads(answers.readline())
            assert 'error' not in told, told['error']
            return told['answer']

        yield run
        asked.close()
