"""The small server beside a worker."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from testproject.servers.waiting import wait_until
from via_state.management import health
from via_state.management.health import HealthServer


@pytest.fixture(params=["127.0.0.1", "::", "::1", "localhost"])
def server(request: pytest.FixtureRequest) -> Iterator[HealthServer]:
    made = HealthServer(request.param, 0)
    yield made
    made.close()


def get(server: HealthServer, path: str) -> int:
    host = server._server.server_address[0]
    connection = HTTPConnection({"::": "127.0.0.1"}.get(str(host), str(host)), server.port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def serving() -> int:
    """Threads that serve a connection."""
    return sum("process_request_thread" in one.name for one in threading.enumerate())


def test_it_answers_at_addresses_of_both_families(server: HealthServer) -> None:
    assert [get(server, path) for path in ("/livez", "/readyz", "/metrics", "/")] == [200, 503, 200, 404]


@pytest.mark.parametrize("server", ["127.0.0.1"], indirect=True)
def test_connections_that_say_nothing_are_bounded_and_keep_nobody_out(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LONGEST", 600.0)
    server._server.RequestHandlerClass.timeout = 600  # type: ignore[attr-defined]
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    assert get(server, "/livez") == 200
    wait_until(lambda: serving() <= health.MOST, "the end of the oldest connections", timeout=20)
    for one in silent:
        one.close()


@pytest.mark.parametrize("server", ["127.0.0.1"], indirect=True)
def test_a_connection_that_says_nothing_is_closed(server: HealthServer) -> None:
    server._server.RequestHandlerClass.timeout = 0.1  # type: ignore[attr-defined]
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent:
        assert silent.recv(1) == b""
    wait_until(lambda: serving() == 0, "the end of the thread")


@pytest.mark.parametrize("server", ["127.0.0.1"], indirect=True)
def test_a_connection_that_sends_a_letter_now_and_then_is_closed(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LONGEST", 0.5)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nX: ")

        def ended() -> bool:
            try:
                slow.sendall(b"x")
            except OSError:
                return True
            return False

        wait_until(ended, "the end of a slow connection", timeout=30)
    assert get(server, "/livez") == 200


@pytest.mark.parametrize("server", ["127.0.0.1"], indirect=True)
def test_it_does_not_say_what_it_runs_on(server: HealthServer) -> None:
    for request in (b"GET /livez HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as asking:
            asking.sendall(request)
            answer = b""
            while more := asking.recv(4096):
                answer += more
        assert b"python" not in answer.lower()
        assert not re.search(rb"^Server: (?!via_state\r)", answer, re.MULTILINE)
