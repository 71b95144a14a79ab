"""A TCP proxy that can be cut: the network between a client and its server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self

from testproject.servers.process import HOST


class Proxy:
    """Forwards ``port`` to ``target_port``. A context manager; its loop runs in a thread of its own."""

    def __init__(self, target_port: int) -> None:
        self.host = HOST
        self.port = 0
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        self._loop.call_soon_threadsafe(self._flowing.set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._run(self._refuse())

    def restore(self) -> None:
        """Accept connections again, on the same port."""
        self._run(self._listen())

    def sever(self) -> None:
        """Close every connection; new ones are accepted."""
        self._run(self._sever())

    def freeze(self) -> None:
        """Connections stay, and nothing passes: the network that just went quiet."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def thaw(self) -> None:
        """What was held back passes now."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _run(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._sever()

    async def _sever(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        # Those that were being accepted meanwhile get their turn, and are closed as well.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            there, back = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        pumps = [asyncio.ensure_future(self._pump(reader, back)), asyncio.ensure_future(self._pump(there, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, back):
                self._writers.discard(end)
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()

    async def _close(self) -> None:
        await self._refuse()
        self._flowing.set()
        await asyncio.sleep(0.01)  # what was accepted already begins to be served, so that it can be ended
        while self._serving:
            await self._sever()
            await asyncio.wait(self._serving, timeout=0.1)
