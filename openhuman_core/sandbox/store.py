"""What the sandbox remembers: documents, mostly as the wire has them, in one table of one SQLite database."""

import json
import secrets
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from openhuman_core.errors import Configuration
from openhuman_core.sandbox.envelope import Refusal

Row = dict[str, Any]

SCHEMA = """CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, kind TEXT, id TEXT, owner TEXT, document TEXT, UNIQUE (kind, id))"""


class Store:
    """The SQLite file `state`, or memory. Calls are short, and made by one event loop one after the other.

    Raises `Configuration` for a file that cannot be made, or is none of SQLite's.
    """

    def __init__(self, state: Path | None) -> None:
        try:
            self._connection = sqlite3.connect(state or ":memory:", isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self._connection.close)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(SCHEMA)
            self._connection.execute("SELECT number, kind, id, owner, document FROM documents LIMIT 0")  # another's?
        except sqlite3.Error as problem:
            raise Configuration(f"the sandbox's state in {state} cannot be used: {problem}") from problem

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that is done inside, or nothing of it if it raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            yield

    def get(self, kind: str, key: str, *owners: str) -> Row | None:
        """Fetch a document, if it belongs to one of `owners` where any are named."""
        query = "SELECT document, owner FROM documents WHERE kind = ? AND id = ?"
        found = self._connection.execute(query, (kind, key)).fetchone()
        return json.loads(found[0]) if found and (not owners or found[1] in owners) else None

    def find(self, kind: str, key: str, *owners: str) -> Row:
        """Fetch a document as `get` does, or refuse with 404."""
        found = self.get(kind, key, *owners)
        if found is None:
            raise Refusal(404, f"{kind[0].upper()}{kind[1:]} not found", f"{kind.upper().replace(' ', '_')}_NOT_FOUND")
        return found

    def all(self, kind: str, owner: str = "*") -> list[Row]:
        """Fetch the documents of a kind, of one owner if named, oldest first."""
        query = "SELECT document FROM documents WHERE kind = ? AND ? IN (owner, '*') ORDER BY number"
        return [json.loads(document) for (document,) in self._connection.execute(query, (kind, owner))]

    def put(self, kind: str, key: str, document: Row, owner: str = "") -> Row:
        """Keep a document; one that was there is replaced, in its place and with its owner unless another is given."""
        self._connection.execute(
            "INSERT INTO documents (kind, id, owner, document) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE "
            "SET document = excluded.document, owner = iif(excluded.owner = '', owner, excluded.owner)",
            (kind, key, owner, json.dumps(document)),
        )
        return document

    def drop(self, kind: str, key: str) -> None:
        """Forget a document."""
        self._connection.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, key))


def new_id(prefix: str = "") -> str:
    """Make an id with the 24 hexadecimal digits of a MongoDB ObjectId."""
    return prefix + secrets.token_hex(12)


def now(**ahead: int) -> str:
    """Tell the time, or one from now, as JavaScript writes it; such strings compare as the times do."""
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_past(time: str | None) -> bool:
    """Tell whether a time has come; None never does."""
    return time is not None and time <= now()
