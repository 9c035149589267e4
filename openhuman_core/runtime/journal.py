"""What was done under which idempotency key, and which payment links were made: one SQLite file in the home.

A call with a key costs two durable writes: one before its request leaves, one with its outcome. Outcomes and links
are sealed, keys and statuses hidden; accounts, params and link ids stand here only as digests.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openhuman_core.backend.times import rfc3339
from openhuman_core.backend.vault import Vault
from openhuman_core.errors import Configuration, InvalidParams, JournalUnavailable
from openhuman_core.files import make_private_directory, open_private
from openhuman_core.runtime import schema
from openhuman_core.runtime.presence import Presence
from openhuman_core.runtime.records import used_before

State = Literal["pending", "done", "unknown", "free"]

KEPT_SECONDS = 30 * 24 * 3600  # of what is settled; what is not is held until it is

_FORGET = "DELETE FROM calls WHERE updated < ? AND state IN ('done', 'free')"
_ENTRIES = "SELECT shown(key), method, state, created, updated, attempts FROM calls WHERE scope = ?"


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key in use: of an account at a base URL (`scope`), for one method with these params (a digest)."""

    scope: str
    name: str
    method: str
    params: str


@dataclass(frozen=True, slots=True)
class Found:
    """What stands under a key: `claimed` says that it is this process's to use now.

    `doubtful` says that it was taken over from an earlier call that may have acted.
    """

    state: State
    claimed: bool = False
    doubtful: bool = False
    outcome: bytes | None = None
    note: str | None = None


class Journal:
    """The records of one home; any number of processes may use it at once.

    Every method blocks, and raises `JournalUnavailable` when the file cannot be read or written.
    """

    def __init__(self, directory: Path, vault: Vault) -> None:
        self._directory = directory
        self._vault = vault
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._presence = Presence(directory / "running")
        self._unsettled: list[tuple[Key, State, bytes | None, str | None]] = []

    def exists(self) -> bool:
        """Tell whether anything was ever written here."""
        return (self._directory / "journal.db").exists()

    def digest(self, data: bytes) -> str:
        """Give the digest under which data stands here."""
        with self._available():
            return self._vault.fingerprint(data)

    def claim(self, key: Key, *, resend_unknown: bool) -> Found:
        """Take a key for a call that is about to be made, durably; or tell what stands under it.

        `resend_unknown` takes it even where an earlier call may have acted. Raises `IdempotencyConflict` where it was
        used for something else.
        """
        with self._transaction() as database:
            database.execute(_FORGET, (time.time() - KEPT_SECONDS,))
            row = database.execute(
                "SELECT state, method, params, owner, outcome, note FROM calls WHERE scope = ? AND key = hidden(?)",
                (key.scope, key.name),
            ).fetchone()
            if row is None or row[0] == "free":
                self._take(database, key)
                return Found("pending", claimed=True)
            state, method, params, owner, outcome, note = row
            if (method, params) != (key.method, key.params):
                raise used_before(method, key.method)
            if state == "pending" and (owner == self._presence.own or not self._presence.is_there(owner)):
                state = "unknown"
                self._set(database, key, "unknown", None, None)
            if state == "unknown" and resend_unknown:
                self._take(database, key)
                return Found("pending", claimed=True, doubtful=True)
            return Found(state, outcome=self._vault.unseal(outcome) if outcome else None, note=note)

    def settle(self, key: Key, state: State, outcome: bytes | None = None, note: str | None = None) -> None:
        """Say what became of the call that took the key, durably.

        What cannot be written now is written with the next thing that can, or at the end.
        """
        sealed = None if outcome is None else self._vault.seal(outcome)
        self._unsettled.append((key, state, sealed, note))
        with self._transaction():
            pass

    def entries(self, scope: str, limit: int, offset: int, state: str | None) -> list[dict[str, Any]]:
        """List keys, newest first; those of processes that are gone are unknown."""
        with self._transaction() as database:
            self._note_gone(database, scope)
            database.execute(_FORGET, (time.time() - KEPT_SECONDS,))
            query = f"{_ENTRIES} AND ? IN (state, '') ORDER BY created DESC, key LIMIT ? OFFSET ?"
            rows = database.execute(query, (scope, state or "", limit, offset)).fetchall()
        return [_entry(row) for row in rows]

    def resolve(self, scope: str, name: str, *, done: bool) -> dict[str, Any]:
        """Settle a key by hand and give its entry; raises `InvalidParams` where its outcome is not unknown."""
        with self._transaction() as database:
            self._note_gone(database, scope)
            query = "SELECT state, method, params FROM calls WHERE scope = ? AND key = hidden(?)"
            row = database.execute(query, (scope, name)).fetchone()
            if row is None or row[0] != "unknown":
                raise InvalidParams(f"idempotencyKey is not unknown but {row[0] if row else 'not in the journal'}")
            key = Key(scope, name, *row[1:])
            self._set(database, key, "done" if done else "free", None, "settled" if done else None)
            return _entry(database.execute(f"{_ENTRIES} AND key = hidden(?)", (scope, name)).fetchone())

    def remember_link(self, scope: str, link_id: str, status: str | None, record: dict[str, Any]) -> None:
        """Add a payment link to the list."""
        sealed = self._vault.seal(json.dumps(record).encode())
        with self._transaction() as database:
            database.execute(
                "INSERT INTO links (scope, link, status, record) VALUES (?, ?, ?, ?)",
                (scope, self._link(link_id), status and self._vault.hide(status), sealed),
            )

    def note_status(self, scope: str, link_id: str, status: str) -> None:
        """Keep what was learned of a link's payment."""
        with self._transaction() as database:
            database.execute(
                "UPDATE links SET status = ? WHERE scope = ? AND link = ?",
                (self._vault.hide(status), scope, self._link(link_id)),
            )

    def links(self, scope: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """List payment links, newest first."""
        with self._transaction() as database:
            rows = database.execute(
                "SELECT status, record FROM links WHERE scope = ? ORDER BY number DESC LIMIT ? OFFSET ?",
                (scope, limit, offset),
            ).fetchall()
            return [
                {**json.loads(self._vault.unseal(record)), **({"status": self._vault.show(status)} if status else {})}
                for status, record in rows
            ]

    def health(self) -> str:
        """Say where the journal is, once it proves to be sound."""
        with self._transaction() as database:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        return f"{self._directory / 'journal.db'} is sound"

    def close(self) -> None:
        """Write what is left to write, close the file, and stop being its user."""
        if self._unsettled:
            with suppress(JournalUnavailable), self._transaction():
                pass
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._presence.end()

    def _link(self, link_id: str) -> str:
        return self._vault.fingerprint(link_id.encode(errors="surrogatepass"))

    def _take(self, database: sqlite3.Connection, key: Key) -> None:
        database.execute(
            "INSERT INTO calls VALUES (?, hidden(?), ?, ?, 'pending', ?, NULL, NULL, ?, ?, 1) ON CONFLICT DO UPDATE SET"
            " method = excluded.method, params = excluded.params, state = 'pending', owner = excluded.owner,"
            " outcome = NULL, note = NULL, updated = excluded.updated, attempts = attempts + 1",
            (key.scope, key.name, key.method, key.params, self._presence.name(), time.time(), time.time()),
        )

    def _set(
        self, database: sqlite3.Connection, key: Key, state: State, outcome: bytes | None, note: str | None
    ) -> None:
        database.execute(
            "UPDATE calls SET state = ?, outcome = ?, note = ?, updated = ? WHERE scope = ? AND key = hidden(?)"
            " AND method = ? AND params = ? AND state IN ('pending', 'unknown')",
            (state, outcome, note, time.time(), key.scope, key.name, key.method, key.params),
        )

    def _note_gone(self, database: sqlite3.Connection, scope: str) -> None:
        """Hold as unknown what processes that are gone left pending."""
        pending = "SELECT DISTINCT owner FROM calls WHERE scope = ? AND state = 'pending'"
        for (owner,) in database.execute(pending, (scope,)).fetchall():
            if owner != self._presence.own and not self._presence.is_there(owner):
                database.execute(
                    "UPDATE calls SET state = 'unknown' WHERE scope = ? AND state = 'pending' AND owner = ?",
                    (scope, owner),
                )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Keep all that is done inside, durably, or nothing of it."""
        with self._lock, self._available():
            database = self._connection or self._open()
            database.execute("BEGIN IMMEDIATE")
            unsettled = [*self._unsettled]
            try:
                for key, state, outcome, note in unsettled:
                    self._set(database, key, state, outcome, note)
                yield database
                database.execute("COMMIT")
                del self._unsettled[: len(unsettled)]
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, Configuration) as problem:
            cause, hint = "it cannot be read and written", None
            if isinstance(problem, Configuration):
                cause, hint = problem.message, problem.data()["hint"]
            elif getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:  # the other bits say where
                cause, hint = "another process holds it", "Wait until it lets go, then call again with the same key."
            told = f"the journal in {self._directory} is not to be used: {cause}"
            raise JournalUnavailable(told, hint=hint) from problem

    def _open(self) -> sqlite3.Connection:
        path = self._directory / "journal.db"
        make_private_directory(self._directory)
        if self._presence.was_used() and path.exists() and not path.stat().st_size:
            raise Configuration(
                "it is empty, though calls were recorded in it",
                hint="End what uses this home, and bring it back from a copy; without one, look at what the account"
                " holds, then move it away.",
            )
        fingerprint = self._vault.fingerprint(b"journal")  # before the file: its key is never made beside it
        with open_private(path, os.O_RDWR | os.O_CREAT):
            pass
        database = sqlite3.connect(path, timeout=schema.BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            database.create_function("hidden", 1, lambda text: self._vault.hide(text) if text else None)
            database.create_function("shown", 1, lambda held: self._vault.show(held) if held else None)
            schema.prepare(database, path)
            self._check_vault(database, fingerprint)
            schema.hide_names(database)
        except BaseException:
            database.close()
            raise
        self._connection = database
        return database

    def _check_vault(self, database: sqlite3.Connection, fingerprint: str) -> None:
        """Refuse another key than the one that the digests here were made with: under it each key would seem unused."""
        database.execute("INSERT INTO vault SELECT ? WHERE NOT EXISTS (SELECT * FROM vault)", (fingerprint,))
        if database.execute("SELECT fingerprint FROM vault").fetchone() != (fingerprint,):
            raise Configuration(f"it was written with another key than {self._vault.path}")


def _entry(row: tuple[Any, ...]) -> dict[str, Any]:
    key, method, state, created, updated, attempts = row
    times = {"createdAt": rfc3339(created), "updatedAt": rfc3339(updated)}
    return {"idempotencyKey": key, "method": method, "state": state, **times, "attempts": attempts}
