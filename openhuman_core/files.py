"""Files that nobody else may read: directories 0700, files 0600, replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from openhuman_core.errors import Configuration


def make_private_directory(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for this user alone.

    Raises `Configuration` where it is another user's, or others may write to it, and `OSError`.
    """
    for path in (*reversed(directory.parents), directory):
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)
    check_own(directory)


def is_closed(directory: Path) -> bool:
    """Whether a directory is this user's, and nobody else may enter it; raises `OSError`."""
    found = directory.stat()
    return os.name != "posix" or (found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o077)


def check_own(path: Path) -> None:
    """Raise `Configuration` where what is there is another user's, or others may write to it, and `OSError`."""
    found = path.stat()
    if os.name == "posix" and found.st_uid not in (0, os.geteuid()):
        raise Configuration(f"{path} is another user's", hint="Look who had it; name another home, or take it back.")
    if os.name == "posix" and found.st_mode & 0o022:
        raise Configuration(f"others may write to {path}", hint=f"Run: chmod go-w {path}")


def read_private(path: Path) -> bytes:
    """Read a file that is this user's alone, and no link; raises what `open_private` does."""
    with open_private(path, os.O_RDONLY) as file:
        return file.read()


def open_private(path: Path, flags: int) -> BinaryIO:
    """Open a file that is this user's alone, and no link; one that is made gets the mode 0600.

    Raises `Configuration` where others may read it or could have written it, and `OSError`.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o600)
    file = os.fdopen(descriptor, "rb")
    try:
        _check_private(path, os.fstat(descriptor))
    except BaseException:
        file.close()
        raise
    return file


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no file", str(path))
    if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid())):
        raise Configuration(
            f"{path} is not this user's alone", hint=f"Look who had it, then: chmod 600 {path}, as its owner."
        )
    check_own(path.parent)


def write_private(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file durably; an existing one is replaced, or wins where `replace` is false.

    Raises what `make_private_directory` does.
    """
    import tempfile  # most processes write no file

    make_private_directory(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            os.link(name, path)
        sync_directory(path.parent)
    except FileExistsError:
        pass  # where several processes make a file at once, one wins and all use its
    finally:
        Path(name).unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make a new name durable; Windows does so by itself."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
