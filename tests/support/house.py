"""One home, the till that its programs pay at, and eight of them that wait to be asked."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from openhuman_core.backend.vault import Vault
from tests.support.daemon import PATIENCE_SECONDS, Daemon, request
from tests.support.till import Till

REPLAYED = "replayed: this idempotency key was used before"
_NUMBERS = itertools.count(1)


class House:
    """Starts programs of one home; `eight` run already, and `first_answers` are what each was told first."""

    def __init__(self, home: Path, till: Till, stack: ExitStack) -> None:
        self.home, self.till, self._stack = home, till, stack
        self.eight = [self.start() for _ in range(8)]
        self.first_answers: list[dict[str, Any]] = []

    def start(self) -> Daemon:
        """Start one more."""
        env = {"BACKEND_URL": self.till.url, "OPENHUMAN_TOKEN": "t"}
        return self._stack.enter_context(Daemon(self.home, env=env))

    def state(self, key: str) -> str | None:
        """Read what stands under a key, without a program's help."""
        return state_in(self.home, key)

    def locked_journal(self) -> sqlite3.Connection:
        """Take the journal, so that whoever writes to it waits."""
        journal = sqlite3.connect(self.home / "core" / "journal.db", isolation_level=None)
        journal.execute("BEGIN IMMEDIATE")
        return journal


def state_in(home: Path, key: str) -> str | None:
    """Read what stands under a key in the journal of a home, if there is one."""
    path, vault = home / "core" / "journal.db", Vault(home / "core")
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path)) as journal:
            found = journal.execute("SELECT state FROM calls WHERE key = ?", (vault.hide(key),)).fetchone()
    except sqlite3.OperationalError:  # it is being made
        return None
    return None if found is None else str(found[0])


def new_key() -> str:
    """Make an idempotency key that nobody used."""
    return f"key-{next(_NUMBERS)}"


def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody tells of: a row that another program writes, a file that it opens, a call that it makes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def has_open(process: subprocess.Popen[bytes], name: str) -> bool:
    """Tell whether a program has a file of this name open."""
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if file.readlink().name == name:
                return True
    return False


def kill(daemon: Daemon) -> None:
    """Kill a program, and wait until it is gone."""
    daemon.process.kill()
    daemon.process.wait(PATIENCE_SECONDS)


def ask_all(daemons: list[Daemon], method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the same call in several programs at once."""
    for daemon in daemons:
        daemon.send(request("same", method, params))
    return [daemon.answer() for daemon in daemons]


def kind(answer: dict[str, Any]) -> str:
    """Say how a payment ended: with a failure's kind, `null`, or what was charged and whether it was told again."""
    if "error" in answer:
        data = answer["error"]["data"]
        assert data["moneyMoved"] == ("unknown" if data["kind"] == "outcome_unknown" else "no")
        return str(data["kind"])
    result = answer["result"]
    again = " again" if REPLAYED in result["logs"] else ""
    return f"{(result['result'] or {}).get('gatewayTransactionId', 'null')}{again}"
