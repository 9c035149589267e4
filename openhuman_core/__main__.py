"""The program: `python -m openhuman_core`, and the command `openhuman-core`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the daemon, or hand the words to the command line; gives the exit code."""
    words = sys.argv[1:]
    if words[:1] in (["serve"], ["run"]) and "--help" not in words:
        from openhuman_core.app import serve  # noqa: PLC0415 - the daemon starts without the command line's libraries

        return serve(words[1:])
    from openhuman_core.cli.main import run  # noqa: PLC0415 - see above

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
