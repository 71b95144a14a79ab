"""A child process that is talked to by lines, and can never block because nobody reads what it says."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO

ANSWER_SECONDS = 600.0


class Child:
    """``python -W ignore -m MODULE ARGUMENTS``. What it writes is read as it comes, by two threads."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._said: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, answers), daemon=True)
            for stream, answers in ((self.process.stdout, True), (self.process.stderr, False))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], answers: bool) -> None:
        with stream:
            for line in stream:
                self._said.append(line)
                if answers:
                    self._lines.put(line)
        if answers:
            self._lines.put(None)

    @property
    def said(self) -> str:
        """All that it wrote, the last 8,000 characters."""
        return "".join(self._said)[-8000:]

    def answer(self, timeout: float = ANSWER_SECONDS) -> str:
        """The next line on its standard output."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"A child said nothing for {timeout:g} s. Before: {self.explain()}") from None
        assert line is not None, f"A child ended: {self.said}"
        return line

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def explain(self) -> str:
        """End it, and say where each of its threads was, where it tells that at SIGUSR1, and what it said."""
        if self.process.poll() is None:
            self.signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        return self.end()

    def end(self) -> str:
        """Kill it if it lives; what it said."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(60)
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.said
