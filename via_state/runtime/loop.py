"""The one background thread of a process, whose event loop owns every connection of ours.

Sync and async callers enter through two doors, `LoopThread.call` and `LoopThread.acall`. WSGI, ASGI, a shell, Celery
and management commands thus share one code path, and none of them needs an event loop of its own.
Work enters with an empty context: what a caller keeps in context variables (a request, a locale) must not leak into
tasks that outlive the call.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextvars import Context
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from via_state import telemetry
from via_state.conf import NO_UVLOOP, settings
from via_state.core import project_code
from via_state.core.project_code import contained
from via_state.exceptions import LoopEnded, StateInPureFunction, SyncVerbInEventLoop
from via_state.runtime.executor import DaemonExecutor
from via_state.runtime.green_threads import refuse_green_threads
from via_state.runtime.pure_functions import pure_functions_only, refuse_in_pure_function

T = TypeVar("T")
logger = logging.getLogger("via_state.pod")
#: Seconds between two beats of the loop.
BEAT = 1.0
project_code.takes_signals = lambda: threading.current_thread() is threading.main_thread()


def in_event_loop() -> bool:
    """Whether the calling thread runs an event loop, which waiting would stall."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def refuse_in_event_loop(verb: str, twin: str) -> None:
    """Raise `SyncVerbInEventLoop` when the calling thread runs an event loop that a blocking verb would stall."""
    refuse_in_pure_function(verb)
    if in_event_loop():
        raise SyncVerbInEventLoop(f"{verb}() would block the running event loop. Write: await {twin}(...)")


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where ``UVLOOP`` says so; otherwise asyncio's, or what the process's policy makes."""
    if not settings.UVLOOP:
        return asyncio.new_event_loop()
    try:
        import uvloop
    except ImportError as error:
        raise ImproperlyConfigured(" ".join(NO_UVLOOP)) from error
    return uvloop.new_event_loop()


class LoopThread:
    """An event loop in a daemon thread. `current_loop` gives the process's one."""

    def __init__(self) -> None:
        self.loop = _new_loop()
        self.loop.set_default_executor(DaemonExecutor())
        self._stopped = self._forked = False
        self._entry = threading.Lock()  # nothing enters after the end
        self._callers: set[Future[Any]] = set()
        self._at_end: list[Callable[[LoopEnded], object]] = []
        #: Why the thread has ended though nobody stopped it.
        self.fault: str | None = None
        #: Whether `stop` has begun.
        self.ending = False
        #: When the loop last had a turn, in monotonic seconds. Only the loop sets it.
        self.beat = time.monotonic()
        self.thread = threading.Thread(target=self._run, name="via-state", daemon=True)
        self._stopping: list[Callable[[], Awaitable[None]]] = []
        self.thread.start()

    def forked(self) -> None:
        """This process is a child now, in which the thread does not exist."""
        self._forked = True

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        with pure_functions_only():
            self._serve()

    def _serve(self) -> None:
        self.loop.call_soon(self._beat, self.loop.time())
        try:
            while not self._stopped:
                try:
                    self.loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:
                    # Of the project's code: its task or callback has failed with it, and asyncio hands it on to us.
                    logger.error("%s was raised on the loop of via_state.", error, exc_info=error)
        except BaseException as error:
            self.fault = type(error).__name__
            logger.critical("The background thread of via_state has ended. Restart this process.", exc_info=error)
        finally:
            self._end()

    def _beat(self, due: float) -> None:
        """Show that the loop has turns, and tell what was added up since the last one."""
        now = self.loop.time()
        self.loop.call_at(now + BEAT, self._beat, now + BEAT)
        self.beat = time.monotonic()
        telemetry.LoopBeat(max(0.0, now - due)).emit()
        telemetry.flush()

    def _end(self) -> None:
        """Tell all who wait for the loop, and those who come, that nothing will answer."""
        with self._entry:
            self._stopped = True
        for tell in list(self._at_end):
            try:
                tell(self._ended())
            except Exception:
                logger.exception("A caller could not be told that the background thread has ended.")
        with contextlib.suppress(BaseException):  # its selector may be what broke
            left = asyncio.all_tasks(self.loop)
            if self.fault is not None and left:
                for task in left:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        # Those that no task has answered. Not before: what a task answers twice is an error that asyncio logs.
        for caller in list(self._callers):
            with contextlib.suppress(InvalidStateError):
                caller.set_exception(self._ended())
        with contextlib.suppress(BaseException):
            self.loop.close()

    @property
    def alive(self) -> bool:
        """False in a forked child, where the thread does not exist, and after the end."""
        return not self._stopped and not self._forked

    def _ended(self) -> LoopEnded:
        if self.fault is None or self._forked:
            return LoopEnded("This pod belongs to another process, or was stopped. Get the current one again.")
        return LoopEnded(
            f"The background thread of via_state in this process has ended ({self.fault}; the log has the traceback). "
            "Restart the process."
        )

    def refuse_ended(self) -> None:
        """Raise `LoopEnded` where nothing would answer any more."""
        if not self.alive:
            raise self._ended()

    def at_end(self, tell: Callable[[LoopEnded], object]) -> Callable[[], None]:
        """Have ``tell(error)`` called when the loop has ended, on its thread. Gives a function that takes that back."""
        self._at_end.append(tell)

        def forget() -> None:
            with contextlib.suppress(ValueError):
                self._at_end.remove(tell)

        return forget

    def soon(self, callback: Callable[..., object], *args: object) -> None:
        """Run ``callback(*args)`` on the loop, soon, from any thread. Raises `LoopEnded`."""
        self.refuse_ended()  # before the lock: a forked child may find it locked
        with self._entry:
            self.refuse_ended()
            Context().run(self.loop.call_soon_threadsafe, callback, *args)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop, from any thread. Raises `LoopEnded`, also the future."""
        try:
            self.refuse_ended()
            with self._entry:
                self.refuse_ended()
                future = Context().run(asyncio.run_coroutine_threadsafe, self._answered(coroutine), self.loop)
                self._callers.add(future)
        except LoopEnded:
            coroutine.close()
            raise
        future.add_done_callback(self._callers.discard)
        return future

    async def _answered(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What would end the loop, and then the thread of the caller, is an error like any other."""
        try:
            return await coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            raise contained(error) from error
        except asyncio.CancelledError:
            if self._stopped:
                raise self._ended() from None
            raise

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The sync door: run a coroutine on the loop and wait for it. Never from a thread that runs a loop."""
        try:
            refuse_in_pure_function("A blocking verb")
        except StateInPureFunction:
            coroutine.close()
            raise
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def acall(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The async door: the same, awaited from any event loop."""
        if asyncio.get_running_loop() is self.loop:
            return await coroutine
        return await asyncio.wrap_future(self.submit(coroutine))

    def on_stop(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await ``callback()`` on the loop when the process ends."""
        self._stopping.append(callback)

    def forget(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Take an `on_stop` callback back."""
        if callback in self._stopping:
            self._stopping.remove(callback)

    def stop(self, timeout: float = 5.0) -> None:
        """Run what `on_stop` collected, then end the thread. At most ``timeout`` seconds."""
        if not self.alive:
            return
        self.ending = True
        try:
            self.submit(self._shut_down()).result(timeout)
        except TimeoutError:
            logger.warning("via_state did not shut down within %s s; its connections are dropped.", timeout)
        self._stopped = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout)

    stop.alters_data = True  # type: ignore[attr-defined]  # not for templates

    async def _shut_down(self) -> None:
        stopping = [callback() for callback in reversed(self._stopping)]
        for result in await asyncio.gather(*stopping, return_exceptions=True):
            if isinstance(result, BaseException):
                logger.warning("A part of via_state failed while stopping: %r", result)
        own = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not own:
                task.cancel()


_lock = threading.Lock()
_current: LoopThread | None = None


def current_loop() -> LoopThread:
    """This process's loop thread; started on first use, and again in a forked child."""
    global _current
    current = _current
    if current is not None and current.alive:
        return current
    with _lock:
        if _current is None or not _current.alive:
            refuse_green_threads()
            _current = LoopThread()
        return _current


def existing_loop() -> LoopThread | None:
    """This process's loop thread, where it was ever used."""
    return _current


def _after_fork() -> None:
    """The child has neither the thread nor a usable lock: another thread may have held it at the fork."""
    global _lock, _current
    _lock = threading.Lock()
    if _current is not None:
        _current.forked()
    _current = None


def _at_exit() -> None:
    if _current is not None:
        _current.stop()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
