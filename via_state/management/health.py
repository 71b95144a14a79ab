"""A small HTTP server beside a worker: metrics for Prometheus, and whether the process lives and is ready."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from via_state.metrics import exposition

#: Connections that are served at once; the seconds that one may be silent, and may last in all.
MOST, SILENCE, LONGEST = 32, 5.0, 30.0


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and a bound on both: when it is reached, the oldest connection makes room for a new one. None lasts
    for long, also not one that sends a letter now and then.
    """

    daemon_threads = True
    request_queue_size = 256  # of 5, a crowd at the port would cost a probe seconds

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        families = [one[0] for one in found]
        self.address_family = socket.AF_INET if socket.AF_INET in families else families[0]
        self._open: dict[socket.socket, float] = {}  # since when, oldest first
        self._lock = threading.Lock()
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            with contextlib.suppress(AttributeError, OSError):  # "::" takes IPv4 as well, where the system can
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the name server for a name

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= MOST else None
            if oldest is not None:
                self._end(oldest)
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Twice a second."""
        with self._lock:
            for one, since in list(self._open.items()):
                if time.monotonic() - since > LONGEST:
                    self._end(one)

    def _end(self, one: socket.socket) -> None:
        del self._open[one]
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)  # its thread ends

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is not worth a traceback."""


class HealthServer:
    """Serves ``/metrics``, ``/livez`` and ``/readyz`` in a thread. Raises OSError.

    ``dead()`` says what only a restart helps against, ``unready()`` why the process should get nothing to do now; both "" where all is well.
    Before `ready` is set nothing is ready.
    """

    def __init__(
        self,
        host: str,
        port: int,
        dead: Callable[[], str] = lambda: "",
        unready: Callable[[], str] = lambda: "",
    ) -> None:
        self.ready = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = SILENCE

            def version_string(self) -> str:
                return "via_state"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, exposition.page())
                elif path == "/livez":
                    self._say(dead())
                elif path == "/readyz":
                    self._say(dead() or (unready() if outer.ready else "It starts, or ends."))
                else:
                    self._answer(404, "text/plain", b"not found\n")

            def _say(self, problem: str) -> None:
                self._answer(503 if problem else 200, "text/plain", f"{problem or 'ok'}\n".encode())

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are not worth a line."""

        self._server = _Server(host, port, Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="via-state-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
