"""Web servers with the site of `tests.live.stage`, and tabs that are connected to them."""

from __future__ import annotations

import random
import signal
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http.cookiejar import CookieJar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from testproject.servers.ports import HOST, free_port
from testproject.servers.process import Process
from testproject.servers.web import answers
from testproject.web_pod import PROJECT
from via_state.live.protocol.frames import PROTOCOL
from via_state.testing.live.connection import Connection
from via_state.testing.live.tab import LiveTab

APPLICATION = "tests.live.served:application"


def command_of(server: str, port: int) -> list[str]:
    """What starts the site with this web server."""
    address = ["--host", HOST, "--port", str(port)]
    more = {
        "uvicorn": [
            *address,
            "--loop",
            "asyncio",
            "--log-level",
            "warning",
            "--timeout-graceful-shutdown",
            "2",
            "--ws-per-message-deflate",
            "false",
        ],
        "daphne": ["--bind", HOST, "--port", str(port), "--verbosity", "0"],
        "hypercorn": ["--bind", f"{HOST}:{port}", "--log-level", "warning", "--graceful-timeout", "2"],
    }
    return [sys.executable, "-m", server, *more[server], APPLICATION]


class StagePod:
    """A web server with the site, on a port of its own."""

    def __init__(self, name: str, folder: Path, env: Mapping[str, str], server: str = "uvicorn") -> None:
        self.name, self.port = name, free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.process = Process(
            name,
            command_of(server, self.port),
            folder / f"{name.replace(' ', '-')}.log",
            death_signal=signal.SIGKILL,
            env={"DJANGO_SETTINGS_MODULE": "tests.live.served_settings", "VIA_POD_NAME": name, **env},
            cwd=PROJECT,
        )

    def start(self) -> StagePod:
        self.process.start(lambda: answers(self.port, "/counter/"))
        return self


class Fleet:
    """The pods that run, as whoever spreads the visitors over them knows it."""

    def __init__(self, make: Callable[..., StagePod]) -> None:
        self.pods: list[StagePod] = []
        self.all: list[StagePod] = []
        self._make = make
        self._random = random.Random(7)

    def start(self, *names: str, **environment: str) -> list[StagePod]:
        started = [self._make(name, **environment) for name in names]
        self.all += started
        for pod in started:
            pod.start()
        self.pods += started
        return started

    def stop(self) -> None:
        for pod in self.all:
            pod.process.stop()

    def any(self) -> StagePod:
        return self._random.choice([pod for pod in self.pods if pod.process.running])


class ServedTab(LiveTab):
    """A tab over a real socket. It comes back by itself, as the client script does, to any pod of the fleet."""

    def __init__(self, fleet: Fleet, path: str, pod: StagePod | None = None) -> None:
        self.fleet, self.at_pod = fleet, pod or fleet.any()
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        super().__init__(cast(Any, None), path, cast(Any, self.at_pod))
        self.returns = 0
        self.over = False

    def load(self) -> Any:
        with self.opener.open(self.at_pod.url + self.path, timeout=20) as answer:
            return SimpleNamespace(status_code=answer.status, content=answer.read(), redirect_chain=[])

    def post(self, **fields: str) -> None:
        token = self.page.find("form input[name=csrfmiddlewaretoken]")[0].attributes["value"]
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        self.opener.open(self.fleet.any().url + self.path, data, timeout=20).read()

    def dial(
        self, ended: Callable[[Connection, int], None] | None = None, at: StagePod | None = None
    ) -> Connection:
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.jar)
        return _Socket(at or self.at_pod, cookies, self.heard, ended or self.ended)

    def hear(self, message: dict[str, Any]) -> None:
        super().hear(message)
        if message.get("bye", {}).get("why") == "drain":
            # Another one first; this one is ended when that is welcomed.
            threading.Thread(target=self._come_back, daemon=True).start()

    def ended(self, connection: Connection, code: int) -> None:
        lost = connection is self._connection and not self.over
        super().ended(connection, code)
        if lost:
            threading.Thread(target=self._come_back, daemon=True).start()

    def _come_back(self) -> None:
        before = self._connection
        while not self.over:
            self.at_pod = self.fleet.any()
            try:
                with self._changed:
                    if self._connection is not before:
                        return
                    self.connect()
                    self.returns += 1
            except (OSError, WebSocketException):
                continue
            if before is not None:
                before.cut()
            return

    def close(self) -> None:
        self.over = True
        self.drop()


class _Socket(Connection):
    def __init__(
        self,
        pod: StagePod,
        cookies: str,
        heard: Callable[[Connection, str], None],
        ended: Callable[[Connection, int], None],
    ) -> None:
        self._socket = ExitStack().enter_context(connect(
            f"ws://{HOST}:{pod.port}/via/live/", subprotocols=[cast(Any, PROTOCOL)], origin=cast(Any, pod.url), compression=None,
            additional_headers={"Cookie": cookies}, open_timeout=5,
        ))  # fmt: skip
        self._heard, self._ended = heard, ended
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for text in self._socket:
                self._heard(self, str(text))
        except ConnectionClosed:
            pass
        finally:
            self._ended(self, self._socket.close_code or 1006)

    def say(self, text: str | bytes) -> None:
        self._socket.send(text)

    def cut(self, code: int = 1006) -> None:
        self._socket.close_socket()
