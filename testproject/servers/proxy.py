"""A TCP proxy that can be cut: the network between a client and its server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from testproject.servers.ports import HOST, free_port


class Proxy:
    """Forwards ``port`` to ``target_port``. A context manager; its loop runs in a thread of its own.

    When a method has returned, what it says is the case.
    """

    def __init__(self, target_port: int) -> None:
        self.host = HOST
        self.port = free_port()
        self.connections = 0  # accepted so far
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], asyncio.Event] = {}  # with the order to end
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
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _cut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for _ in range(10):
            await asyncio.sleep(0)  # what was accepted already gets its turn, so that it can be ended
        await self._sever()

    async def _sever(self) -> None:
        links = dict(self._links)
        for severed in links.values():
            severed.set()
        if links:
            await asyncio.wait(links)

    async def _flow(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Told to end by an event, never cancelled: asyncio complains about a cancelled connection callback.
        link, severed = asyncio.current_task(), asyncio.Event()
        assert link is not None
        self._links[link] = severed
        ends = [writer]
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(severed.wait())]
        try:
            if self._server is not None:  # else: accepted, then cut before its turn came
                self.connections += 1
                there, back = await asyncio.open_connection(HOST, self._target)
                ends.append(back)
                both = asyncio.gather(self._pump(reader, back), self._pump(there, writer))
                tasks.append(both)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if both.done():
                    both.result()
                    for end in ends:
                        end.close()
                        await end.wait_closed()  # what is still to be sent is sent
        except OSError:
            pass  # one side is gone: so is the link
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in ends:
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()
            del self._links[link]

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one side sends, and that it has no more to send."""
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            await self._flowing.wait()
            raise
        await self._flowing.wait()
        writer.write_eof()
