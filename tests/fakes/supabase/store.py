"""What the fake remembers: documents by kind and id."""

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class Store:
    """Documents in a file of `folder`, where they survive a kill of the process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(folder / 'state.sqlite', isolation_level=None, check_same_thread=False)
        # The file outlives the process, not the machine.
        self._connection.execute('pragma journal_mode = wal')
        self._connection.execute('pragma synchronous = off')
        self._run('create table if not exists documents (kind text, id text, body text, primary key (kind, id))')

    def get(self, kind: str, key: str) -> Document | None:
        """Return a document, or None."""
        rows = self._run('select body from documents where kind = ? and id = ?', kind, key)
        return json.loads(rows[0][0]) if rows else None

    def put(self, kind: str, key: str, document: Document) -> Document:
        """Keep a document, instead of any before it."""
        self._run('insert or replace into documents values (?, ?, ?)', kind, key, json.dumps(document))
        return document

    def delete(self, kind: str, key: str) -> None:
        """Forget a document, which may be gone already."""
        self._run('delete from documents where kind = ? and id = ?', kind, key)

    def all(self, kind: str) -> list[Document]:
        """Return every document of a kind, the oldest first."""
        return [
            json.loads(row[0]) for row in self._run('select body from documents where kind = ? order by rowid', kind)
        ]

    def clear(self) -> None:
        """Forget everything."""
        self._run('delete from documents')

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _run(self, statement: str, *values: str) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()
