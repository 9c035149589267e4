"""The signals that ask for an end, and how they are held where nobody could answer them."""

from __future__ import annotations

import signal
import sys

# SIGINT is a person's interrupt, SIGTERM a supervisor's stop; SIGHUP, of a terminal that closes, is not on Windows.
STOPS = [number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP")]


def heard() -> list[signal.Signals]:
    """Give those that whoever started this program did not tell it to ignore, as `nohup` does."""
    return [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]


def hold() -> None:
    """Keep them waiting until `release`; they find no handler meanwhile, not even Python's own."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def release() -> None:
    """Hear those that wait, and those to come; the daemon's alone, which does not run on Windows."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
