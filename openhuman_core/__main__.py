"""The program: `python -m openhuman_core`, and the command `openhuman-core`."""

from __future__ import annotations

import gc
import sys

from openhuman_core.errors import CoreError

FAILED = 1


def main() -> int:
    """Run the daemon, or hand the words to the command line; gives the exit code.

    The command line's catch-all stands here, so that a bug ends in a log line that holds no secret.
    """
    gc.disable()  # what imports make stays, and looking for garbage in it takes a tenth of a short run
    words = sys.argv[1:]
    try:
        if words[:1] in (["serve"], ["run"]) and not {"-h", "--help"} & set(words):
            return _serve(words[1:])
        from openhuman_core.cli.main import run  # noqa: PLC0415 - the daemon needs no library of the command line

        return run(words)
    except Exception as problem:  # noqa: BLE001 - see above
        from openhuman_core.runtime import logging  # noqa: PLC0415 - the command line's help has no use for it

        logging.configure("error", sys.stderr)
        logging.log.error("bug", exc_info=problem)
    return FAILED


def _serve(flags: list[str]) -> int:
    from openhuman_core.runtime import logging  # noqa: PLC0415 - see above

    logging.configure("info", sys.stderr)
    try:
        from openhuman_core.runtime.streams import Streams  # noqa: PLC0415 - see above

        streams = Streams()  # before anything that might print
        from openhuman_core.app import serve  # noqa: PLC0415 - see above

        return serve(flags, streams)
    except CoreError as problem:
        logging.log.error(problem.message, extra=problem.data())
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
