"""Start-up imports only what answering needs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.daemon import request, run
from tests.support.imports import imported
from tests.support.recorder import Recorder

# What costs tens of milliseconds to import, and what the first call of a domain loads.
COSTLY = {"aiohttp", "click", "httpx", "pydantic", "rich", "starlette", "uvicorn", "openhuman_core.domains"}
NETWORK = {"aiohttp", "httpx"}

PING = request(1, "core.ping")
BAD_PARAMS = request(1, "openhuman.billing_top_up", {"amountUsd": "5"})
UNKNOWN_METHOD = request(1, "no_such_method")


def loaded(home: Path, *words: str, stdin: bytes = b"") -> set[str]:
    """Run a command to its end, and give the modules that it imported, with their packages."""
    names = imported(home, "-m", "openhuman_core", *words, stdin=stdin)
    assert "openhuman_core" in names
    return {name.rsplit(".", depth)[0] for name in names for depth in range(name.count(".") + 1)}


@pytest.mark.parametrize(
    ("message", "unneeded"),
    [
        pytest.param(PING, COSTLY, id="core.ping"),
        pytest.param(request(1, "core.version"), COSTLY, id="core.version"),
        pytest.param(request(1, "core.health"), COSTLY, id="core.health"),
        pytest.param(UNKNOWN_METHOD, NETWORK, id="an unknown method"),
        pytest.param(BAD_PARAMS, NETWORK, id="a refusal of params"),
    ],
)
def test_the_daemon_imports_no_more_than_an_answer_needs(home: Path, message: object, unneeded: set[str]) -> None:
    """Every start of the desktop waits for it."""
    assert loaded(home, "serve", stdin=json.dumps(message).encode()) & unneeded == set()


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["methods"], ["serve", "--help"], ["call", "--help"]], ids=" ".join
)
def test_the_command_line_imports_no_http_library_to_describe_itself(home: Path, words: list[str]) -> None:
    """A shell's completion and a reader of help wait for it."""
    assert loaded(home, *words) & {*NETWORK, "starlette", "uvicorn"} == set()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_call_without_tls_reads_no_certificates(home: Path, backend: Recorder) -> None:
    """They take as long to read as a fifth of the whole call; opening a pipe that nobody writes would take for ever."""
    home.mkdir()
    os.mkfifo(home / "certificates")
    done = run(
        home,
        "billing",
        "get-balance",
        BACKEND_URL=backend.url,
        OPENHUMAN_TOKEN="test-token",
        SSL_CERT_FILE=str(home / "certificates"),
    )
    assert done.returncode == 0


def test_no_plugin_of_another_package_sees_params(home: Path, backend: Recorder) -> None:
    """Nor does looking for one cost anything."""
    plugin = home / "plugins" / "spy-1.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n", encoding="utf-8")
    (plugin / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n", encoding="utf-8")
    (plugin.parent / "spy.py").write_text("import sys\nsys.exit(99)\n", encoding="utf-8")
    variables = {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "test-token", "PYTHONPATH": str(plugin.parent)}
    assert run(home, "billing", "get-balance", stdin=b"", **variables).returncode == 0
