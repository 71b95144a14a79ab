"""A child process that ends when we do, whatever ends us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from testproject.servers.waiting import wait_until

PR_SET_PDEATHSIG = 1
#: Seconds for which one waits after the last signal: PostgreSQL kills children that don't end within five.
LAST = 20.0
# Looked up here: the child of a fork in a process with threads had better not search libraries.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


class ServerError(RuntimeError):
    """A server could not be started. The message says why, with the end of its log."""


def end_with(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when ``parent``, which started it, is gone. Linux; else nothing."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it was gone before we asked
            os.kill(os.getpid(), number)


@contextmanager
def making_a_child(death_signal: signal.Signals) -> Iterator[Callable[[], None]]:
    """What a child does first, so that it gets ``death_signal`` when this process dies.

    What asks this process to end waits until the block ends and the child is known: an exception of a handler between the fork and that
    would leave a child that nobody stops.
    """
    parent, before = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})

    def begin() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        end_with(parent, death_signal)

    try:
        yield begin
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(
    command: Sequence[str | Path], death_signal: signal.Signals = signal.SIGKILL, **options: Any
) -> subprocess.CompletedProcess[str]:
    """What a command prints and how it ends. It is killed, and has ended, when this is interrupted."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = None
    try:
        with making_a_child(death_signal) as begin:
            child = subprocess.Popen(command, preexec_fn=begin, **pipes, **options)
        output, errors = child.communicate()
    except BaseException:
        if child is not None:
            child.kill()
            child.communicate()
        raise
    return subprocess.CompletedProcess(command, child.returncode, output, errors)


class Process:
    """Started by `start`, known by its pid only. ``death_signal`` is what it gets if this process dies first; ``last_signal`` is for one
    that has children: it ends them at once, which nobody does for it when it is killed.

    On Linux "this process" is the thread that called `start`: start servers from one that stays.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        group: int | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
        stop_signal: signal.Signals = signal.SIGTERM,
        last_signal: signal.Signals | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name, self.command, self.log = name, [str(part) for part in command], log
        self._env, self._user, self._group, self._cwd = env, user, group, cwd
        self._death_signal, self._stop_signal, self._last_signal = death_signal, stop_signal, last_signal
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        assert self._child is not None, "start() comes first"
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Start and wait until ``ready()``. Raises `ServerError` when it ends first or takes too long."""
        with self.log.open("ab") as log, making_a_child(self._death_signal) as begin:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the children in order.
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self._env is None else {**os.environ, **self._env},
                user=self._user,
                group=self._group,
                extra_groups=None if self._user is None else [],
                start_new_session=True,
                preexec_fn=begin,
                cwd=self._cwd,
            )
        try:
            wait_until(lambda: not self.running or ready(), f"the start of {self.name}", timeout)
        except TimeoutError as error:
            self.kill()
            raise ServerError(f"{error}. {self.tail()}") from None
        if not self.running:
            raise ServerError(self.ending())

    def ending(self) -> str:
        """How it ended, in a sentence with the end of its log."""
        assert self._child is not None, "start() comes first"
        status = self._child.returncode
        how = f"status {status}" if status >= 0 else signal.Signals(-status).name
        return f"{self.name} ended by itself with {how}. {self.tail()}"

    def tail(self, lines: int = 15) -> str:
        """The end of what it has logged since it was started, in a sentence."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            logged = log.read().decode(errors="replace").strip()
        if not logged:
            return f"It logged nothing ({self.log})."
        return "\n".join([f"Its log ({self.log}) ends:", *logged.splitlines()[-lines:]])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this one process."""
        if self._child is not None:
            self._child.send_signal(number)

    def ask_to_stop(self) -> None:
        """Begin to stop it; `stop` waits for the end."""
        self.signal(self._stop_signal)

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end; send its last signal after ``timeout`` seconds, if it has one; kill it when nothing helps."""
        if self._child is None:
            return
        for number, seconds in ((self._stop_signal, timeout), (self._last_signal, LAST)):
            if number is not None:
                self.signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(seconds)
                    return
        self.kill()

    def kill(self) -> None:
        """End it at once, without a chance to clean up."""
        if self._child is not None:
            self.signal(signal.SIGKILL)
            self._child.wait()
