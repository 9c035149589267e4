"""Fixtures of every test: a home of its own, a daemon, and a server that records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.gate import Gate
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


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon that nobody is signed in at, for calls that leave nothing behind."""
    with Daemon(tmp_path_factory.mktemp("bare")) as daemon:
        yield daemon


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Give a hosted API that answers when it is told to."""
    gate = Gate()
    yield gate
    gate.server.shutdown()
    gate.server.server_close()


@pytest.fixture
def daemon(start: StartDaemon, backend: Recorder) -> Daemon:
    """Give a daemon that is signed in at the recording hosted API."""
    return start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-session-token")
