"""Run the conformance cases against programs, each in a process of its own; exits 1 when the command fails one.

scripts/conformance -- .venv/bin/openhuman-core serve
scripts/conformance --profile json-rpc-lines -- my-server --stdio
PEER_PYTHON=peers/bin/python scripts/conformance --peers -- .venv/bin/openhuman-core serve

COMMAND is looked up from the root of the clone. With --peers the servers of `tests/conformance/peers/` run beside it,
under the Python that PEER_PYTHON names: `pip install mcp pygls python-lsp-jsonrpc` makes one of any Python.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.cases import Case, load
from tests.conformance.profiles import PROFILES, Profile
from tests.conformance.verdict import run_alone

CLONE = Path(__file__).parent.parent
PEERS = CLONE / "tests/conformance/peers"
# The column's title, the distribution, the server, and what it speaks.
KNOWN_PEERS = (
    ("MCP Python SDK", "mcp", "mcp_stdio.py", "mcp"),
    ("pygls", "pygls", "pygls_stdio.py", "lsp"),
    ("python-lsp-jsonrpc", "python-lsp-jsonrpc", "pylsp_jsonrpc_stdio.py", "lsp"),
)
# For each case, what is wrong with it; None where it does not apply.
Results = dict[Case, list[str] | None]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=PROFILES, default="openhuman", help="what COMMAND speaks (openhuman)")
    parser.add_argument("--peers", action="store_true", help="run the known peers beside it")
    parser.add_argument("--only", default="", metavar="TEXT", help="run the cases with this text in their title")
    parser.add_argument("--patience", type=float, default=3, metavar="SECONDS", help="how long to wait for a frame (3)")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    return parser.parse_args()


def run(name: str, command: Sequence[str], profile: Profile, only: str, patience: float) -> Results:
    """Run every case of the profile against a program in a home that is gone afterwards, and print what fails."""
    results: Results = {}
    (CLONE / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CLONE / ".cache") as home:
        env = {**os.environ, "HOME": home, "OPENHUMAN_WORKSPACE": home}
        for case in load(profile):
            if only not in case.title:
                continue
            wrong = results[case] = run_alone(case, command, profile, env, patience) if case.applies else None
            if wrong:
                print(f"✗ {name}: {case.title}", case.why, *wrong, sep="\n    ", flush=True)
    return results


def version(python: str, distribution: str) -> str:
    """Give the version of a distribution, as that Python sees it."""
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    told = subprocess.run([python, "-c", code, distribution], check=True, capture_output=True, text=True)  # noqa: S603
    return told.stdout.strip()


def cell(results: Results, group: str) -> str:
    """Count the cases of a group that pass, of those that apply."""
    wrongs = [wrong for case, wrong in results.items() if wrong is not None and group in ("", case.group)]
    return f"{sum(not wrong for wrong in wrongs)} of {len(wrongs)}" if wrongs else "n/a"


def table(columns: dict[str, Results]) -> str:
    """Write a Markdown table: groups of cases by programs."""
    groups = list(dict.fromkeys(case.group for results in columns.values() for case in results))
    rows = [["cases", *columns]]
    rows += [[group, *(cell(results, group) for results in columns.values())] for group in groups]
    rows += [["all", *(cell(results, "") for results in columns.values())]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def main() -> int:
    """Run what is asked for, and print what failed and the table."""
    options = arguments()
    ours = Path(options.command[0]).name
    columns = {ours: run(ours, options.command, PROFILES[options.profile], options.only, options.patience)}
    if options.peers:
        python = os.environ.get("PEER_PYTHON", sys.executable)
        for title, distribution, server, profile in KNOWN_PEERS:
            name = f"{title} {version(python, distribution)}"
            command = [python, str(PEERS / server)]
            columns[name] = run(name, command, PROFILES[profile], options.only, options.patience)
    print(table(columns))
    return int(not columns[ours] or any(columns[ours].values()))


if __name__ == "__main__":
    sys.exit(main())
