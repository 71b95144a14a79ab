"""Whether this process lives, and whether it may be sent requests. What is asked here never waits, whatever hangs.

Alive: the loop, on which everything of via_state runs, has turns. A fold that never ends, or blocks, takes them from all keys, and only
a restart helps. Ready: it is alive, does not end, hears its backplane, and holds the declared keys that are not families. One
key that is halted makes no process unready: it would be halted everywhere, and all would leave at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

from via_state.conf import settings
from via_state.core.specs import CellSpec, LogSpec
from via_state.declarations.registry import registry
from via_state.declarations.scope import APP
from via_state.exceptions import BackplaneUnavailable, NotCaughtUp, OutcomeUnknown, ViaStateError
from via_state.logs import about
from via_state.pod.default import current_pod
from via_state.pod.pod import Pod
from via_state.runtime.backoff import Backoff
from via_state.runtime.loop import LoopThread, existing_loop

logger = logging.getLogger("via_state.health")

#: Seconds without a turn after which a loop hangs. It has one each second.
HANGS = 8.0
#: Keys that are loaded at once.
AT_ONCE = 8

_draining = threading.Event()


def drain() -> None:
    """Not ready from now on: this process is about to end. For a hook of the web server; it can't be taken back."""
    _draining.set()


def draining() -> bool:
    """Whether `drain` was called."""
    return _draining.is_set()


def why_dead(thread: LoopThread | None = None) -> str:
    """What only a restart helps against, or "". ``thread``: the process's own loop, where there is one."""
    thread = thread or existing_loop()
    if thread is None or thread.ending:
        return ""
    if not thread.alive:
        return "The background thread of via_state has ended. Restart this process."
    silent = time.monotonic() - thread.beat
    if silent < HANGS:
        return ""
    return f"The loop of via_state has had no turn for {silent:.0f} s: a fold, or a subscriber, does not end."


def why_unready(pod: Pod) -> str:
    """Why this process should get no requests now, or "". It says nothing of the keys that the process needs, see `Loading`."""
    if dead := why_dead(pod.thread):
        return dead
    if draining() or pod.closed or pod.thread.ending:
        return "This process is about to end."
    if (error := pod.reconciler.away) is not None:
        return f"The backplane is away: {type(error).__name__}."
    return ""


class Loading:
    """The declared keys that are not families, until a pod holds them. Those that can't be had are not waited for longer than ``READY_TIMEOUT``."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._until = time.monotonic() + settings.READY_TIMEOUT
        self._specs: dict[str, LogSpec[Any] | CellSpec[Any]] = {}
        for one in registry.definitions():
            usable = one.scope is APP and one.state is not None and not one.state._abstract
            if usable and one.problem() is None and not one.template().family:
                self._specs[one.template().text] = one.spec()
        self._left = dict.fromkeys(self._specs)
        if self._left:
            pod.thread.submit(self._load_all())

    def why(self) -> str:
        """What is still to be loaded, or ""."""
        left = list(self._left)
        if not left:
            return ""
        if time.monotonic() >= self._until:
            logger.warning(
                "Ready without %s: not loaded within %s s.", ", ".join(left[:10]), settings.READY_TIMEOUT
            )
            self._left.clear()
            return ""
        return f"{len(left)} of {len(self._specs)} declared keys are not loaded yet: {', '.join(left[:10])}."

    async def _load_all(self) -> None:
        keys = iter(list(self._specs.items()))

        async def load() -> None:
            for key, spec in keys:
                await self._load(key, spec)
                self._left.pop(key, None)

        await asyncio.gather(*(load() for _ in range(AT_ONCE)))

    async def _load(self, key: str, spec: LogSpec[Any] | CellSpec[Any]) -> None:
        """Until it is there, or can't be had here: a key that is halted or unreadable is so in all processes."""
        backoff = Backoff(cap=5.0)
        while time.monotonic() < self._until:
            try:
                if isinstance(spec, LogSpec):
                    await self._pod.aread(key, spec)
                else:
                    await self._pod.aget(key, spec)
            except (BackplaneUnavailable, OutcomeUnknown, NotCaughtUp) as error:
                logger.debug("%r can't be loaded yet: %s", key, error, extra=about(key=key))
                await backoff.pause()
            except ViaStateError:
                return
            else:
                return


_loadings: WeakKeyDictionary[Pod, Loading] = WeakKeyDictionary()
_lock = threading.Lock()


def loading(pod: Pod) -> Loading:
    """How far a pod has come; asking begins it."""
    with _lock:
        found = _loadings.get(pod)
        if found is None:
            found = _loadings[pod] = Loading(pod)
        return found


def readiness() -> str:
    """Why the process should get no requests now, or "". The first call begins to load what it needs."""
    pod = current_pod()
    return why_unready(pod) or loading(pod).why()
