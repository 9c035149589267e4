"""jsonrpcserver in a line loop, since it has no stdio of its own, with a method `ping`."""

import sys
from typing import Any

from jsonrpcserver import Success, dispatch, method  # type: ignore[import-not-found]


@method(name="ping")  # type: ignore[untyped-decorator]
def ping() -> Any:
    """Answer at once."""
    return Success({"ok": True})


for line in sys.stdin.buffer:
    sys.stdout.buffer.write(dispatch(line.decode()).encode() + b"\n")
    sys.stdout.buffer.flush()
