"""Which processes of a home are there: each holds a lock that dies with it."""

from __future__ import annotations

import errno
import os
import re
import secrets
from pathlib import Path

from filelock import FileLock, Timeout

from openhuman_core.files import make_private_directory

# How long one that looks whether another is there may hold that one's lock.
LOOK_SECONDS = 5.0


class Presence:
    """The locks in `directory`, a file for each process that is there.

    Every method raises `OSError`, or `Configuration` where others may write to it.
    """

    def __init__(self, directory: Path) -> None:
        self.own = ""
        self._directory = directory
        self._lock: FileLock | None = None

    def name(self) -> str:
        """Give the name under which others find this process, and begin to be there."""
        if self._lock is None:
            make_private_directory(self._directory)
            if self._directory.is_symlink():  # what is removed would lie somewhere else
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._directory))
            self.own = secrets.token_hex(8)
            lock = FileLock(self._directory / self.own, mode=0o600, thread_local=False)
            lock.acquire(timeout=LOOK_SECONDS)
            self._lock = lock
            for left in self._directory.iterdir():  # by processes that were killed
                if re.fullmatch("[0-9a-f]{16}", left.name) and left.name != self.own:
                    self.is_there(left.name)
        return self.own

    def was_used(self) -> bool:
        """Tell whether a process was ever there: then it has recorded a call."""
        return self._directory.is_dir()

    def is_there(self, name: str) -> bool:
        """Tell whether a process is there; what it left behind is removed if not."""
        path = self._directory / name
        if path.is_symlink() or not path.is_file():
            return False
        try:
            with FileLock(path, mode=0o600, thread_local=False).acquire(timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return True
        return False

    def end(self) -> None:
        """Be there no more."""
        if self._lock is not None:
            self._lock.release()
            (self._directory / self.own).unlink(missing_ok=True)
            self._lock = None
