"""A keychain for tests, as keyring finds it: its entries are a file, and it can hang, refuse, or be none at all."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import ClassVar

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError

ROOT = Path(__file__).parents[2]


def keychain(entries: Path, mood: str = "works", **variables: str) -> dict[str, str]:
    """Give the environment of a desktop whose keychain keeps its entries in that file."""
    desktop = {"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    backend = {"PYTHON_KEYRING_BACKEND": "tests.support.keychain.Keychain", "PYTHONPATH": str(ROOT)}
    return {**desktop, **backend, "TEST_KEYCHAIN": str(entries), "TEST_KEYCHAIN_MOOD": mood, **variables}


class Keychain(KeyringBackend):
    """Keeps entries as JSON; `TEST_KEYCHAIN_MOOD` says whether it works, hangs or refuses.

    One that works hangs as long as there is a file of the entries' name with `.hangs` behind it.
    """

    priority: ClassVar[float] = 9

    def get_password(self, service: str, username: str) -> str | None:
        """Give what an entry holds."""
        found = _entries().get(f"{service} {username}")
        return None if found is None else str(found)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Make an entry, or replace what it holds."""
        entries = {**_entries(), f"{service} {username}": password}
        Path(os.environ["TEST_KEYCHAIN"]).write_text(json.dumps(entries), encoding="utf-8")

    def delete_password(self, service: str, username: str) -> None:
        """Refuse: nothing of ours deletes."""
        raise PasswordDeleteError(f"{service} {username}")


def _entries() -> dict[str, str]:
    Path(os.environ["TEST_KEYCHAIN"] + ".asked").touch()
    mood = os.environ["TEST_KEYCHAIN_MOOD"]
    if mood == "hangs" or Path(os.environ["TEST_KEYCHAIN"] + ".hangs").exists():
        threading.Event().wait()
    if mood == "refuses":
        raise PasswordSetError("locked")
    path = Path(os.environ["TEST_KEYCHAIN"])
    content: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content
