"""Stdout belongs to the wire, readiness is told when asked for, and a parent's end is noticed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.support.daemon import COMMAND, PATIENCE_SECONDS, Daemon, environment, request, run

PARENT_GONE = 21
# Each prints in another way, from the very first import of a library on.
NOISES = {
    "print": "print('noise')",
    "write": "import os; os.write(1, b'noise\\n')",
    "no line end": "import os; os.write(1, b'noise')",
    "child": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(\"noise\")'], check=True)",
    "native": "import ctypes; c = ctypes.CDLL(None); c.puts(b'noise'); c.fflush(None)",
}


def noisy(home: Path, noise: str) -> dict[str, str]:
    """Make an environment in which a library that the daemon imports makes a noise, and gives what is behind it."""
    library = home / "noisy"
    library.mkdir(parents=True)
    (library / "anyio.py").write_text(
        f"import sys\n{noise}\nsys.path.remove({str(library)!r})\ndel sys.modules['anyio']\nimport anyio\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(library)}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_what_others_print_is_logged_and_breaks_no_frame(home: Path, noise: str) -> None:
    """Whoever prints, and however."""
    done = run(home, "serve", stdin=json.dumps(request(1, "core.ping")).encode(), **noisy(home, noise))
    assert done.stdout == b'{"jsonrpc":"2.0","id":1,"result":{"ok":true}}\n'
    records = [json.loads(line) for line in done.stderr.splitlines()]
    stray = [(record["level"], record["text"]) for record in records if record["message"] == "stray_stdout"]
    assert (stray, done.returncode) == ([("WARNING", "noise")], 0)


def test_a_lot_of_print_holds_up_nothing(home: Path) -> None:
    """More than a pipe holds is read while it is printed, and told in parts."""
    noise = "print('a' * 1_000_000)"
    done = run(home, "serve", stdin=json.dumps(request(1, "core.ping")).encode(), **noisy(home, noise))
    records = [json.loads(line) for line in done.stderr.splitlines()]
    told = [record["text"] for record in records if record["message"] == "stray_stdout"]
    assert (len("".join(told)), done.returncode) == (1_000_000, 0)


@pytest.mark.parametrize("words", [["serve"], ["run"], ["SERVE"], ["--", "serve"], ["--", "Run"]])
def test_the_daemon_is_one_however_it_is_asked_for(home: Path, words: list[str]) -> None:
    """As the command line reads its other words: it answers, and logs what it does."""
    done = run(home, *words, "--max-batch", "1", stdin=json.dumps([request(1, "core.ping")] * 2).encode())
    assert (done.returncode, json.loads(done.stdout)["error"]["data"]["kind"]) == (0, "invalid_request")
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["started", "ended"]


@pytest.mark.parametrize("level", ["error", "debug"])
def test_ready_is_told_once_calls_can_be_answered(home: Path, level: str) -> None:
    """It is asked for by name, so no log level hides it."""
    words, env = [*COMMAND, "serve", "--ready", "--log-level", level], environment(home)
    home.mkdir()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=home) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        records = (json.loads(line) for line in process.stderr)
        ready = next(record for record in records if record["message"] == "ready")
        process.terminate()
        assert (ready["pid"], process.wait(PATIENCE_SECONDS)) == (process.pid, 0)


def test_readiness_is_not_told_unasked(home: Path) -> None:
    """The log has one line at the start."""
    assert b'"ready"' not in run(home, "serve").stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_parent_is_the_end(start: StartDaemon, how: signal.Signals) -> None:
    """Though the pipes stay open, as where another child of it holds them."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        daemon = start("--parent-pid", str(parent.pid))
        daemon.result("core.ping")
        parent.send_signal(how)
        parent.wait(PATIENCE_SECONDS)
        assert daemon.process.wait(PATIENCE_SECONDS) == PARENT_GONE


@pytest.mark.parametrize("descriptors", [True, False], ids=["with descriptors", "without"])
def test_a_parent_that_ended_before_the_start_is_the_end(start: StartDaemon, home: Path, *, descriptors: bool) -> None:
    """It can die while its child starts, and nobody else would end that."""
    home.mkdir()
    (home / "sitecustomize.py").write_text(
        "" if descriptors else "import os\nos.pidfd_open = lambda pid: os.stat('')\n"
    )
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(PATIENCE_SECONDS)
    daemon = start("--parent-pid", str(gone.pid), PYTHONPATH=str(home))
    assert daemon.process.wait(PATIENCE_SECONDS) == PARENT_GONE
    assert daemon.log_records("parent not seen", 0) == []


def test_a_parent_that_cannot_be_is_told_once_and_not_missed(start: StartDaemon) -> None:
    """No process has such a number, so nothing of that name can have ended."""
    daemon = start("--parent-pid", str(2**40))
    assert daemon.result("core.ping") == {"ok": True}
    assert daemon.end() == 0
    assert [record["pid"] for record in daemon.log_records("parent not seen")] == [2**40]


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_a_parent_pid_that_is_none_is_a_usage_error(home: Path, value: str) -> None:
    """Before anything is served."""
    done = run(home, "serve", "--parent-pid", value)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--parent-pid" in done.stderr


def test_health_counts_errors_by_kind(sandbox: Daemon) -> None:
    """What failed is told apart."""
    sandbox.error("no.such_method")
    sandbox.error("openhuman.team_get_team")
    sandbox.error("openhuman.team_get_team")
    assert sandbox.result("core.health")["errors"] == {"method_not_found": 1, "invalid_params": 2}
