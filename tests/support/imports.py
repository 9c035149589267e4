"""What a Python program imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.daemon import PATIENCE_SECONDS, environment


def imported(home: Path, *words: str, stdin: bytes = b"") -> set[str]:
    """Run Python with these words to its end, and give the modules that it imported."""
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        input=stdin,
        capture_output=True,
        env=environment(home),
        cwd=home,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines() if "import time:" in line}
