"""Fixtures of every test: a home of its own, a daemon, and a server that records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.recorder import Recorder

StartDaemon = Callable[..., Daemon]


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on the event loop that the program runs on."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home that nothing else uses."""
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[StartDaemon]:
    """Start daemons that are gone when the test is."""
    with ExitStack() as stack:
        yield lambda *flags, **env: stack.enter_context(Daemon(home, *flags, env=env))


@pytest.fixture
def sandbox(start: StartDaemon) -> Daemon:
    """Give a daemon on the embedded sandbox."""
    return start("--sandbox")


@pytest.fixture
def backend() -> Iterator[Recorder]:
    """Give a hosted API that records what it is asked."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture
def daemon(start: StartDaemon, backend: Recorder) -> Daemon:
    """Give a daemon that is signed in at the recording hosted API."""
    return start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-session-token")
