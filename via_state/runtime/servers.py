"""Which servers are away, for all parts of this process that need them: one says so, and not each."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Hashable
from typing import TypeVar
from weakref import WeakSet

from via_state.exceptions import ViaStateError

logger = logging.getLogger("via_state.runtime")
E = TypeVar("E", bound=ViaStateError)


def did_not_answer(error: E, server: str) -> E:
    """The error, which says that ``server`` did not answer. That begins a sentence: "The database 'default'"."""
    error.server = server
    return error


def database(alias: str) -> str:
    """The server of a database of the project."""
    return f"The database {alias!r}"


def server_of(error: BaseException) -> str:
    """The server that did not answer; empty where that is not known, or it answered."""
    return error.server if isinstance(error, ViaStateError) else ""


class _Server:
    """One that is away: since when, for whom, and whether it was said that this has become long."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.parts: WeakSet[Hashable] = WeakSet()
        self.long = False


class Servers:
    """Those that are away. From any thread."""

    def __init__(self) -> None:
        self.forget()
        if hasattr(os, "register_at_fork"):  # Windows has no forks
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A process that was forked tries everything itself."""
        self._lock = threading.Lock()
        self._away: dict[str, _Server] = {}

    def away(self, name: str, part: Hashable, error: BaseException) -> None:
        """It did not answer ``part``, which tries it until it does. Said for the first one."""
        with self._lock:
            known = self._away.get(name)
            if first := known is None or not known.parts:
                known = self._away[name] = _Server()
            assert known is not None
            known.parts.add(part)
        level = logging.WARNING if first else logging.DEBUG
        logger.log(level, "%s is away, and what needs it is tried again until it answers: %s", name, error)

    def parts(self, name: str) -> set[Hashable]:
        """Those for which it is away."""
        with self._lock:
            known = self._away.get(name)
            return set() if known is None else set(known.parts)

    def lasts(self, name: str) -> bool:
        """It has been away for long. True for the first who says so."""
        with self._lock:
            known = self._away.get(name)
            first = known is None or not known.long
            if known is not None:
                known.long = True
        return first

    def answered(self, name: str, part: Hashable) -> None:
        """It answers ``part``, or that no longer tries. Said when it is away for nobody."""
        with self._lock:
            known = self._away.get(name)
            if known is None or part not in known.parts:
                return
            known.parts.discard(part)
            if known.parts:
                return
            del self._away[name]
        logger.info("%s answers again, after %.1f s.", name, time.monotonic() - known.since)


servers = Servers()
