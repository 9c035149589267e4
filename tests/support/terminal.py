"""A command on a pseudo-terminal, as a person runs it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

from tests.support.daemon import COMMAND, PATIENCE_SECONDS, environment


class Terminal:
    """A running command whose stdin, stdout and stderr are one terminal."""

    def __init__(self, home: Path, *words: str, columns: int = 100, env: Mapping[str, str] | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, columns))
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(home, **{"TERM": "xterm-256color", **(env or {})}),
            cwd=home,
            start_new_session=True,
        )
        os.close(theirs)
        self._ours = ours
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Read until the screen shows a text."""
        while text not in self.shown:
            assert self._read(), f"ended without {text!r}: {self.shown!r}"

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._ours, text.encode() + b"\n")

    def end(self) -> int:
        """Read until the command ends; gives its exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(PATIENCE_SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing in {PATIENCE_SECONDS} s behind {self.shown!r}"
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # how Linux says that nobody holds the other side any more
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
