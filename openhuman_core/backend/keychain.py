"""The system's keychain, asked with a time limit, and never where nobody could answer its questions."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, ClassVar, TypeVar

from openhuman_core.errors import Configuration

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "openhuman-core"
ANSWER_SECONDS = 3.0
LEFT_ALONE_SECONDS = 30.0
# Below this a backend of keyring's is a way to say that there is none, or keeps its entries in clear.
LEAST_PRIORITY = 1
HINT = "Unlock the keychain, or set OPENHUMAN_CREDENTIAL_STORE=file and sign in under another profile."

T = TypeVar("T")


def may_be_asked() -> bool:
    """Tell whether there may be a keychain that somebody could unlock; a prompt on a headless host waits for ever."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("CI"):
        return False
    if not sys.platform.startswith("linux"):
        return True
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(has_screen and os.environ.get("DBUS_SESSION_BUS_ADDRESS"))


class KeychainEntry:
    """One entry of the system's keychain; each method raises `Configuration` where there is none that answers.

    One that does not answer is asked one question, and then left alone for a while: every call would wait for it.
    """

    _one_asks: ClassVar[Lock] = Lock()
    _left_alone_until: ClassVar[float] = -math.inf

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self) -> str | None:
        """Give what the entry holds; None where there is no such entry."""
        return self._ask(lambda: _keyring().get_password(SERVICE, self._name))

    def write(self, secret: str) -> None:
        """Make the entry, or replace what it holds."""
        self._ask(lambda: _keyring().set_password(SERVICE, self._name, secret))

    def _ask(self, ask: Callable[[], T]) -> T:
        with self._one_asks:
            try:
                if time.monotonic() >= self._left_alone_until:
                    return _in_time(ask)
            except Empty:
                KeychainEntry._left_alone_until = time.monotonic() + LEFT_ALONE_SECONDS
        raise Configuration("the system keychain does not answer", hint=HINT)


def _keyring() -> KeyringBackend:
    import keyring  # looks for backends among all that is installed

    backend = keyring.get_keyring()
    if backend.priority < LEAST_PRIORITY:
        raise OSError("no usable keychain")
    return backend


def _in_time(ask: Callable[[], T]) -> T:
    """Ask in a thread, which is left behind when no answer comes in time; raises `Empty` then."""
    answers: SimpleQueue[T | Exception] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(ask())
        except Exception as problem:  # noqa: BLE001 - the system keychain: backends are anybody's, and raise anything
            answers.put(problem)

    Thread(target=work, daemon=True).start()
    answer = answers.get(timeout=ANSWER_SECONDS)
    if isinstance(answer, Exception):
        raise Configuration("the system keychain cannot be used", hint=HINT) from answer
    return answer
