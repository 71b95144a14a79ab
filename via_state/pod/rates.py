"""What this process did in each minute: counted here, added to what all processes did a few times a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock

from via_state import telemetry
from via_state.bookkeeping.rates import Done, RateStore, What, this_minute
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.runtime.periodic import Periodic

#: Seconds between two additions; seconds that the last one may take. Minutes that are counted while the books are away.
INTERVAL, LEAVING, MOST = 20.0, 2.0, 5

_lock = Lock()
#: Of this process, whichever pod did it, by minute, declared key and handler: done and failed. Plain lists: it is on the way of each event.
_counted: dict[tuple[int, str, str], list[int]] = {}


def _count(template: str, handler: str, done: int, failed: int) -> None:
    with _lock:
        _add((this_minute(), template, handler), done, failed)


def _add(what: tuple[int, str, str], done: int, failed: int) -> None:
    if (slot := _counted.get(what)) is None:
        slot = _counted[what] = [0, 0]
    slot[0] += done
    slot[1] += failed


@telemetry.Appended.subscribe
def _(event: telemetry.Appended) -> None:
    _count("", "", sum(event.events), 0)


@telemetry.Relayed.subscribe
def _(event: telemetry.Relayed) -> None:
    _count("", "", event.events, 0)


@telemetry.DeliveryEnded.subscribe
def _(event: telemetry.DeliveryEnded) -> None:
    if event.outcome == "ok":
        _count(event.template, event.handler, 1, 0)


@telemetry.DeliveryFailed.subscribe
def _(event: telemetry.DeliveryFailed) -> None:
    _count(event.template, event.handler, 0, 1)


def take() -> dict[What, Done]:
    """What was counted since the last time."""
    telemetry.flush()
    with _lock:
        found = {What(*what): Done(*slot) for what, slot in _counted.items()}
        _counted.clear()
    return found


def give_back(counted: Mapping[What, Done]) -> None:
    """It could not be stored: later, as far as that is not for long."""
    oldest = this_minute() - MOST
    with _lock:
        for what, (done, failed) in counted.items():
            if what.minute >= oldest:
                _add(what, done, failed)


class Rates(Periodic):
    """Adds what this process did to what is stored, while it does something."""

    def __init__(self, store: RateStore) -> None:
        super().__init__("The counts of a minute", self.store, lambda: INTERVAL, later=True)
        self._store, self._stored = store, False

    async def store(self) -> None:
        """Store what was counted since the last time."""
        if not (counted := take()):
            return
        try:
            await self._store.add(counted)
        except (BackplaneUnavailable, OutcomeUnknown):
            give_back(counted)  # whoever needs the books says so; here minutes look quieter
        else:
            self._stored = True

    async def _stop(self) -> None:
        await super()._stop()
        if self._stored:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.store(), LEAVING)
