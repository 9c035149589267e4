"""The program: `python -m openhuman_core`, and the command `openhuman-core`."""

from __future__ import annotations

import sys

from openhuman_core.errors import CoreError
from openhuman_core.runtime import logging
from openhuman_core.runtime.streams import Streams

FAILED = 1


def main() -> int:
    """Run the daemon, or hand the words to the command line; gives the exit code.

    The command line's catch-all stands here, so that a bug ends in a log line that holds no secret.
    """
    words = sys.argv[1:]
    serves = words[:1] in (["serve"], ["run"]) and not {"-h", "--help"} & set(words)
    logging.configure("info" if serves else "error", sys.stderr)
    try:
        if serves:
            streams = Streams()  # before anything that might print
            from openhuman_core.app import serve  # noqa: PLC0415 - the daemon needs no library of the command line

            return serve(words[1:], streams)
        from openhuman_core.cli.main import run  # noqa: PLC0415 - see above

        return run(words)
    except CoreError as problem:
        logging.log.error(problem.message, extra=problem.data())
    except Exception as problem:  # noqa: BLE001 - see above
        logging.log.error("bug", exc_info=problem)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
