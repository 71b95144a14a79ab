"""A child process that ends when we do, whatever ends us."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1


class ServerError(RuntimeError):
    """A server could not be started. The message says why, with the end of its log."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=0.5):
        return True
    return False


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 30.0, pause: float = 0.02) -> None:
    """Return when ``condition()`` is true; raise TimeoutError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout:g} s")
        time.sleep(pause)


class Process:
    """Started by `start`, known by its pid only. ``death_signal`` is what it gets if this process dies first."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
        stop_signal: signal.Signals = signal.SIGTERM,
        cwd: Path | None = None,
    ) -> None:
        self.name, self.command, self.log = name, [str(part) for part in command], log
        self._env, self._user, self._cwd = env, user, cwd
        self._death_signal, self._stop_signal = death_signal, stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, "start() comes first"
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Start and wait until ``ready()``. Raises `ServerError` when it ends first or takes too long."""
        libc = ctypes.CDLL(None)

        def die_with_parent() -> None:
            libc.prctl(PR_SET_PDEATHSIG, self._death_signal)

        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the children in order.
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self._env is None else {**os.environ, **self._env},
                user=self._user,
                extra_groups=None if self._user is None else [],
                start_new_session=True,
                preexec_fn=die_with_parent if hasattr(libc, "prctl") else None,
                cwd=self._cwd,
            )
        try:
            wait_until(lambda: not self.running or ready(), f"the start of {self.name}", timeout)
        except TimeoutError as error:
            self.kill()
            raise ServerError(f"{error}. Its log ends:\n{self.tail()}") from None
        if not self.running:
            raise ServerError(f"{self.name} ended at once. Its log ends:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process."""
        if self.running:
            os.kill(self.pid, number)

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end; kill it after ``timeout`` seconds."""
        if self._child is None:
            return
        self.signal(self._stop_signal)
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, without a chance to clean up."""
        if self._child is not None:
            self.signal(signal.SIGKILL)
            self._child.wait()
