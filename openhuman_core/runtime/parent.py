"""Wait for another process to end: the shell that started this one, which may die without closing a pipe."""

from __future__ import annotations

import os
import select
import sys

import anyio

from openhuman_core.runtime.logging import log

POLL_SECONDS = 1.0


async def wait_for_end(pid: int) -> bool:
    """Wait until there is no such process; False, and one line in the log, where it cannot be seen from here.

    The system tells of the end by a process file descriptor (Linux) or a kqueue (macOS, BSD); a Linux without them is
    asked once a second.
    """
    try:
        if sys.platform == "linux":
            await _wait_for_descriptor(pid)
        else:
            queue = select.kqueue()
            flags = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
            queue.control([select.kevent(pid, select.KQ_FILTER_PROC, flags, select.KQ_NOTE_EXIT)], 0)
            await anyio.wait_readable(queue.fileno())
    except ProcessLookupError:  # it ended before it was looked at
        return True
    except (OSError, OverflowError) as problem:  # the second for a number that no process can have
        log.warning("parent not seen", extra={"pid": pid, "errno": getattr(problem, "errno", None)})
        return False
    return True


async def _wait_for_descriptor(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # no such process, or a kernel, or a sandbox of one, that has no descriptors
        await _poll(pid)
    else:
        await anyio.wait_readable(descriptor)


async def _poll(pid: int) -> None:
    """Ask for the process until `ProcessLookupError` says that there is none; raises it, or any other `OSError`."""
    while True:
        os.kill(pid, 0)
        await anyio.sleep(POLL_SECONDS)
