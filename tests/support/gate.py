"""A hosted API that answers when the test says so."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.daemon import PATIENCE_SECONDS


class Gate:
    """A hosted API that answers a path when it is told to."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self.go: defaultdict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(0))
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate.came.release()
                if gate.go[self.path].acquire(timeout=PATIENCE_SECONDS):
                    body = json.dumps({"success": True, "data": self.path}).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    with suppress(OSError):  # the daemon is gone
                        self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.env = {"BACKEND_URL": f"http://127.0.0.1:{self.server.server_port}", "OPENHUMAN_TOKEN": "test-token"}
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def wait_for_request(self) -> None:
        """Wait until one more request has come."""
        assert self.came.acquire(timeout=PATIENCE_SECONDS)
