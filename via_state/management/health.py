"""A small HTTP server beside a worker: metrics for Prometheus, and whether the process lives and is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class HealthServer:
    """Serves ``/metrics``, ``/livez`` and ``/readyz`` in a thread. Raises OSError.

    ``alive()`` decides the second one: False means that only a restart helps. ``ready`` decides the last one, where it is alive.
    """

    def __init__(self, host: str, port: int, alive: Callable[[], bool] = lambda: True) -> None:
        self.ready = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                elif path == "/livez":
                    ok = alive()
                    self._answer(200 if ok else 503, "text/plain", b"ok\n" if ok else b"ended: restart it\n")
                elif path == "/readyz":
                    ok = outer.ready and alive()
                    self._answer(200 if ok else 503, "text/plain", b"ok\n" if ok else b"not ready\n")
                else:
                    self._answer(404, "text/plain", b"not found\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are not worth a line."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="via-state-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
