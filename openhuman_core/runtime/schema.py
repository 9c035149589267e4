"""The tables of the journal, and how what earlier versions of this program wrote becomes what is in them now."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from filelock import FileLock

from openhuman_core.errors import Configuration

VERSION = 3
BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    scope TEXT NOT NULL, key TEXT NOT NULL, method TEXT NOT NULL, params TEXT NOT NULL, state TEXT NOT NULL,
    owner TEXT NOT NULL, outcome BLOB, note TEXT, created REAL NOT NULL, updated REAL NOT NULL,
    attempts INTEGER NOT NULL, PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_age ON calls (updated);
CREATE TABLE IF NOT EXISTS links (
    number INTEGER PRIMARY KEY, scope TEXT NOT NULL, link TEXT NOT NULL, status TEXT, record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS links_by_id ON links (scope, link);
CREATE TABLE IF NOT EXISTS vault (fingerprint TEXT NOT NULL);
"""


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables that are not there in the file at `path`; raises `Configuration` for those of a newer version."""
    if database.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        # It reads before it writes, so SQLite does not let it wait for another process that does the same.
        with FileLock(path.with_suffix(".lock"), timeout=BUSY_SECONDS, mode=0o600):
            database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise Configuration("it is of a newer version of this program")
    if version < VERSION:
        database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")


def hide_names(database: sqlite3.Connection) -> None:
    """Hide by `hidden` what versions before the third wrote as it was; nothing of it stays in the file."""
    database.execute("PRAGMA secure_delete = ON")
    database.execute("BEGIN IMMEDIATE")
    if database.execute("PRAGMA user_version").fetchone()[0] < VERSION:
        database.execute("UPDATE calls SET key = hidden(key)")
        database.execute("UPDATE links SET status = hidden(status)")
        database.execute(f"PRAGMA user_version = {VERSION}")
    database.execute("COMMIT")
