"""What the proxy does to connections, which tests of lost connections stand on."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from testproject.servers.ports import HOST, answers, free_port
from testproject.servers.proxy import Proxy
from testproject.servers.waiting import wait_until

PATIENCE = 10.0
MOMENT = 0.2  # how long something must not happen


class Echo:
    """Sends back what it gets; at its end ``farewell``."""

    def __init__(self, farewell: bytes = b"") -> None:
        self.farewell = farewell
        self.accepted: list[socket.socket] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self.accepted.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=[connection]))
                self._threads[-1].start()
        except OSError:
            pass

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
                connection.sendall(self.farewell)
            except OSError:
                pass


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as made:
        yield made


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=PATIENCE)


def received(connection: socket.socket, count: int) -> bytes:
    """Exactly this many bytes, or fewer when the connection ends."""
    data = b""
    while len(data) < count and (more := connection.recv(65536)):
        data += more
    return data


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends the connection, in whichever way."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def silent(connection: socket.socket) -> bool:
    """Whether nothing comes for a moment, not even the end."""
    connection.settimeout(MOMENT)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE)
    return False


def test_bytes_pass_both_ways_unchanged(proxy: Proxy) -> None:
    sent = bytes(range(256)) * 20_000
    with connected(proxy) as connection:
        thread = threading.Thread(target=connection.sendall, args=[sent])
        thread.start()
        assert received(connection, len(sent)) == sent
        thread.join()
    assert proxy.connections == 1


def test_what_a_side_says_last_still_arrives() -> None:
    farewell = b"x" * 5_000_000
    with closing(Echo(farewell)) as echo, Proxy(echo.port) as proxy, connected(proxy) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert received(connection, len(farewell) + 1) == farewell


def test_the_end_of_the_server_reaches_the_client(proxy: Proxy, echo: Echo) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
        echo.accepted[0].shutdown(socket.SHUT_RDWR)
        assert ended(connection)


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_restored(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
        proxy.cut()
        assert ended(connection)
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
    proxy.restore()
    with connected(proxy) as connection:
        connection.sendall(b"b")
        assert received(connection, 1) == b"b"


def test_cutting_and_restoring_twice_is_harmless(proxy: Proxy) -> None:
    proxy.cut()
    proxy.cut()
    proxy.restore()
    proxy.restore()
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"


def test_severing_ends_connections_and_accepts_new_ones(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
        proxy.sever()
        assert ended(connection)
    with connected(proxy) as connection:
        connection.sendall(b"b")
        assert received(connection, 1) == b"b"


def test_a_frozen_connection_holds_everything_back_until_it_thaws(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
        proxy.freeze()
        connection.sendall(b"b")
        assert silent(connection)
        proxy.thaw()
        assert received(connection, 1) == b"b"


def test_a_frozen_network_does_not_tell_that_the_server_died(proxy: Proxy, echo: Echo) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
        proxy.freeze()
        echo.accepted[0].shutdown(socket.SHUT_RDWR)
        assert silent(connection)
        proxy.thaw()
        assert ended(connection)


@pytest.mark.parametrize("verb", ["cut", "sever"])
def test_a_frozen_connection_can_be_cut(proxy: Proxy, verb: str) -> None:
    with connected(proxy) as connection:
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
        proxy.freeze()
        connection.sendall(b"b")
        getattr(proxy, verb)()
        assert ended(connection)


@pytest.mark.parametrize("verb", ["cut", "sever"])
def test_a_client_that_does_not_read_can_be_cut(verb: str) -> None:
    with closing(Echo(b"x" * 20_000_000)) as echo, Proxy(echo.port) as proxy, connected(proxy) as connection:
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)  # the rest is on its way, more than buffers hold
        getattr(proxy, verb)()
        assert len(received(connection, 20_000_000)) < 20_000_000


@pytest.mark.parametrize("verb", ["cut", "sever"])
def test_clients_that_keep_knocking_leave_nothing_behind(proxy: Proxy, verb: str) -> None:
    stop = threading.Event()

    def knock() -> None:
        while not stop.wait(0.001):
            with suppress(OSError), connected(proxy) as connection:
                connection.sendall(b"a")

    clients = [threading.Thread(target=knock) for _ in range(4)]
    for client in clients:
        client.start()
    for _ in range(5):
        before = proxy.connections
        wait_until(lambda before=before: proxy.connections > before + 20, "some connections")  # type: ignore[misc]
        getattr(proxy, verb)()
        proxy.restore()
    proxy.cut()
    stop.set()
    for client in clients:
        client.join()
    gc.collect()  # what was not closed warns now


def test_a_server_that_is_down_is_an_ended_connection() -> None:
    with Proxy(free_port()) as proxy, connected(proxy) as connection:
        assert ended(connection)


def test_leaving_ends_connections_and_frees_the_port(echo: Echo) -> None:
    with Proxy(echo.port) as proxy:
        connection = connected(proxy)
        connection.sendall(b"a")
        assert received(connection, 1) == b"a"
    with connection:
        assert ended(connection)
    assert not answers(proxy.port)
