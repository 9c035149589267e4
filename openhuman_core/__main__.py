"""The program: `python -m openhuman_core`, and the command `openhuman-core`."""

from __future__ import annotations

import gc
import os
import sys

from openhuman_core.errors import CoreError, InternalError
from openhuman_core.runtime import signals

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    """Run the daemon, or hand the words to the command line; gives the exit code.

    The command line's catch-all stands here, so that a bug ends in a log line that holds no secret.
    """
    if sys.platform != "win32":
        import resource  # there is none on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no crash writes to a file what this process holds
    gc.disable()  # what imports make stays, and looking for garbage in it takes a tenth of a short run
    words = sys.argv[1:]
    flags = _flags_of_daemon(words)
    try:
        code = _serve(flags) if flags is not None else _run(words)
        signals.hold()  # all is said, and the exit code is to say the same: Python's own end forgets our handlers
    except KeyboardInterrupt:
        return INTERRUPTED
    except (Exception, BaseExceptionGroup) as problem:  # noqa: BLE001 - see above
        from openhuman_core.runtime import logging  # the command line's help has no use for it

        failure = InternalError(os.urandom(8).hex())
        logging.configure("error", sys.stderr)
        logging.log.error("bug", exc_info=problem, extra=failure.facts)
        if flags is None:
            from openhuman_core.cli.failures import in_one_line

            sys.stderr.write(in_one_line(failure, as_json="--json" in words) + "\n")
        return FAILED
    return code


def _flags_of_daemon(words: list[str]) -> list[str] | None:
    """Give the words behind `serve` or `run`, in any case and also behind `--`; None for all else, and for help."""
    if words[:1] == ["--"]:
        words = words[1:]
    is_daemon = bool(words) and words[0].lower() in ("serve", "run")
    return words[1:] if is_daemon and not {"-h", "--help"} & set(words) else None


def _run(words: list[str]) -> int:
    from openhuman_core.cli.main import run  # the daemon needs no library of the command line

    return run(words)


def _serve(flags: list[str]) -> int:
    from openhuman_core.runtime import logging

    signals.hold()  # until the session can give an answer
    logging.configure("info", sys.stderr, beside=True)
    logging.take_crashes()
    try:
        from openhuman_core.runtime.streams import Streams

        streams = Streams()  # before anything that might print
        from openhuman_core.app import serve

        return serve(flags, streams)
    except CoreError as problem:
        logging.log.error(problem.message, extra=problem.data())
    finally:
        logging.close()
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
