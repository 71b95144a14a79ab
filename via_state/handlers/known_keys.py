"""The keys that a worker met: whose log they are, and how far they are handled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from via_state.bookkeeping.positions import HandlerId
from via_state.core.records import Position
from via_state.core.specs import LogSpec
from via_state.handlers.declaration import HandlerSpec
from via_state.pod.reading.reconciler import Following

#: Keys that are known, and whose doorbells are heard. Of others a worker hears by the sweep.
KEYS = 20_000


class HandledLog(NamedTuple):
    """A declared log with handlers. ``reads`` says whether a key is one of its."""

    spec: LogSpec[Any]
    handlers: Mapping[str, HandlerSpec]
    reads: Callable[[str], bool]


class Known(NamedTuple):
    """A key: its log, None where that has no handlers here; and how far each handler has come, as far as that is known."""

    log: HandledLog | None
    done: dict[HandlerId, Position]


class KnownKeys:
    """Those that were met last, `KEYS` at most. All on the loop. ``wanted``: False for keys that are left to others."""

    def __init__(self, logs: Sequence[HandledLog], wanted: Callable[[str], bool] | None) -> None:
        self._logs, self._wanted = logs, wanted
        self._keys: OrderedDict[str, Known] = OrderedDict()
        #: Where doorbells come from, once there is one.
        self.following: Following | None = None

    def of(self, key: str) -> Known:
        """What is known of a key; from now on its doorbells are heard."""
        known = self._keys.get(key)
        if known is not None:
            self._keys.move_to_end(key)
            return known
        log = next((one for one in self._logs if one.reads(key)), None)
        if self._wanted is not None and not self._wanted(key):
            log = None
        known = self._keys[key] = Known(log, {})
        if log is not None and self.following is not None:
            self.following.watch(key)
        if len(self._keys) > KEYS:
            oldest, gone = self._keys.popitem(last=False)
            if gone.log is not None and gone.log.spec.family and self.following is not None:
                self.following.unwatch(oldest)
        return known

    def handlers_of(self, key: str) -> Iterator[HandlerId]:
        """Those that handle a key here."""
        if (log := self.of(key).log) is not None:
            for name in log.handlers:
                yield HandlerId(log.spec.name, name)

    def doubt(self) -> None:
        """How far they have come is no longer known."""
        for known in self._keys.values():
            known.done.clear()
