"""A TCP proxy that can be cut: the network between a client and its server."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Self

from testproject.servers.ports import HOST, free_port


class Proxy:
    """Forwards ``port`` to ``target_port``. A context manager; its loop runs in a thread of its own.

    When a method has returned, what it says is the case.
    """

    def __init__(self, target_port: int) -> None:
        self.host = HOST
        self.port = free_port()
        self.connections = 0  # accepted so far
        self.passed = 0  # bytes so far, both ways
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener: socket.socket | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self.thaw()
        self.restore()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._run(self._cut())

    def restore(self) -> None:
        """Accept connections again, on the same port."""
        self._run(self._listen())

    def sever(self) -> None:
        """Close every connection; new ones are accepted."""
        self._run(self._sever())

    def freeze(self) -> None:
        """Connections stay, and nothing passes, not even their end: the network that just went quiet."""
        self._run(self._flow(False))

    def thaw(self) -> None:
        """What was held back passes now."""
        self._run(self._flow(True))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port))
            self._listener.setblocking(False)
            # Not asyncio's server: what it has accepted when it is closed stays open.
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # gone again
        connection.setblocking(False)
        self.connections += 1
        link = self._loop.create_task(self._forward(connection))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        link.add_done_callback(lambda _: connection.close())

    async def _cut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        await self._sever()

    async def _sever(self) -> None:
        links = list(self._links)
        for link in links:
            if not link.cancelling():
                link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _flow(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _forward(self, front: socket.socket) -> None:
        """Connect to the server, and pass everything on until both sides have ended."""
        # Plain sockets, not streams: a stream that is cancelled while it opens is never closed.
        with front, socket.socket() as back:
            back.setblocking(False)
            try:
                await self._loop.sock_connect(back, (HOST, self._target))
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._pump(front, back))
                    pumps.create_task(self._pump(back, front))
            except* OSError:
                pass  # one side is gone: so is the link

    async def _pump(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on what one side sends, and that it has no more to send."""
        try:
            while data := await self._loop.sock_recv(source, 65536):
                await self._flowing.wait()
                await self._loop.sock_sendall(target, data)
                self.passed += len(data)
        except OSError:
            await self._flowing.wait()
            raise
        await self._flowing.wait()
        target.shutdown(socket.SHUT_WR)
