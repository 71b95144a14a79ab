"""Thousands of tabs over real sockets: a client that costs less than the server, and the server in a process of its own."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

from testproject.servers.ports import HOST, answers, free_port
from testproject.servers.process import Process
from testproject.web_pod import PROJECT
from via_state.live.protocol.frames import PROTOCOL

#: Sockets that are opened at once.
AT_ONCE = 50
_SPREAD = re.compile(rb'"spread":(\d+)')


class TabSocket(asyncio.Protocol):
    """One WebSocket: says hello, answers pings, acknowledges; tells its crowd what comes."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.messages = 0
        self.has = False
        self._buffer = b""
        self._open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.crowd.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head.partition(b"\r\n")[0], head
            self._open, self._buffer = True, rest
            if self.crowd.hello:
                self.send(0x1, self.crowd.hello)
        while (frame := self._frame()) is not None:
            code, payload = frame
            if code == 0x9:
                self.send(0xA, payload)
            elif code == 0x1:
                self.messages += 1
                self.crowd.heard(self, payload)
                if self.messages % 16 == 0 and self.crowd.hello:
                    self.send(0x1, b'{"ack":%d}' % self.messages)

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame. A server's are not masked."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size > 125:
            at = 4 if size == 126 else 10
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + size:
            return None
        self._buffer = buffer[at + size :]
        return buffer[0] & 0xF, buffer[at : at + size]

    def send(self, code: int, payload: bytes) -> None:
        """Masked with zeros, which is a mask, too."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
        if self.transport is not None:
            self.transport.write(bytes([0x80 | code]) + length + b"\0\0\0\0" + payload)

    def connection_lost(self, error: Exception | None) -> None:
        self.crowd.lost(self)


class Crowd:
    """Tabs that all show the same. ``hello``: what each says first; None for bare sockets."""

    def __init__(self, port: int, hello: str | None) -> None:
        self.port = port
        self.hello = (hello or "").encode()
        self.sockets: set[TabSocket] = set()
        self.back_to: int | None = None  # the port to which those come back that lose their socket
        self.spread = 1.0
        self._wanted = b""
        self._left = 0
        self._all = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def request(self) -> bytes:
        lines = [
            "GET /via/live/ HTTP/1.1",
            f"Host: {HOST}:{self.port}",
            f"Origin: http://{HOST}:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        if self.hello:
            lines.append(f"Sec-WebSocket-Protocol: {PROTOCOL}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def open(self, count: int) -> None:
        """So many tabs that are current."""
        self.expect(b'"f":', count)
        for begin in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._dial() for _ in range(min(AT_ONCE, count - begin))))
        await self.all()

    async def _dial(self) -> None:
        _, socket = await asyncio.get_running_loop().create_connection(lambda: TabSocket(self), HOST, self.port)
        self.sockets.add(socket)

    def expect(self, wanted: bytes, count: int | None = None) -> None:
        """From now on: wait for a message with this in each tab."""
        self._wanted, self._left = wanted, len(self.sockets) if count is None else count
        self._all.clear()
        for socket in self.sockets:
            socket.has = False

    def heard(self, socket: TabSocket, payload: bytes) -> None:
        if not socket.has and self._wanted in payload:
            socket.has = True
            self._left -= 1
            if not self._left:
                self._all.set()
        if found := _SPREAD.search(payload):
            self.spread = int(found[1]) / 1000

    async def all(self, seconds: float = 60.0) -> None:
        """Until each has what is expected. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            await self._all.wait()

    def lost(self, socket: TabSocket) -> None:
        self.sockets.discard(socket)
        if self.back_to is not None:
            task = asyncio.get_running_loop().create_task(self._return(self.back_to))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _return(self, port: int) -> None:
        await asyncio.sleep(random.uniform(0, self.spread))
        self.port = port
        await self._dial()

    def close(self) -> None:
        self.back_to = None
        for socket in list(self.sockets):
            if socket.transport is not None:
                socket.transport.abort()


@contextmanager
def web(name: str, environment: dict[str, str]) -> Iterator[tuple[Process, int]]:
    """Uvicorn with an application of `benchmarks.served`, and its port."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        f"benchmarks.served:{name}",
        "--log-level",
        "warning",
        "--lifespan",
        "off",
        "--loop",
        "asyncio",
    ]
    command += ["--host", HOST, "--port", str(port), "--ws-per-message-deflate", "false", "--backlog", "4096"]
    with tempfile.TemporaryDirectory(prefix="via-state-bench-") as folder:
        process = Process(
            name,
            command,
            Path(folder) / "web.log",
            death_signal=SIGKILL,
            env={"DJANGO_SETTINGS_MODULE": "benchmarks.settings", "VIA_POD_NAME": f"{name} {port}", **environment},
            cwd=PROJECT,
        )
        process.start(lambda: answers(port))
        try:
            yield process, port
        finally:
            process.stop()


def cpu_of(pid: int) -> float:
    """Seconds that a process has spent."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
