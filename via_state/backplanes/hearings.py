"""Who hears what: what the adapters share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from via_state.backplanes.base import Hear, Hearing, Ring

logger = logging.getLogger("via_state")


def tell(ring: Ring, key: str | None) -> None:
    """Ring for a key. One that raises costs neither the others nor whoever listens for them all."""
    try:
        ring(key)
    except Exception:
        logger.exception("A doorbell failed where it was heard.")


class Hearings:
    """All that hear something in one process. ``audience_changed`` is called with a topic that got its first hearer, or lost its last."""

    def __init__(self, audience_changed: Callable[[str], None] = lambda topic: None) -> None:
        self._audience_changed = audience_changed
        self._by_topic: dict[str, list[_Hearing]] = {}
        self._held: dict[str, asyncio.Event] = {}

    def topics(self) -> list[str]:
        """Those that somebody hears."""
        return list(self._by_topic)

    def __contains__(self, topic: str) -> bool:
        return topic in self._by_topic

    def add(self, topic: str, hear: Hear) -> Hearing:
        """From now on ``hear`` is called."""
        hearing = _Hearing(self, topic, hear)
        first = topic not in self._by_topic
        self._by_topic.setdefault(topic, []).append(hearing)
        if first:
            self._held[topic] = asyncio.Event()
            self._audience_changed(topic)
        return hearing

    def discard(self, hearing: _Hearing) -> None:
        """No more."""
        hearings = self._by_topic.get(hearing.topic, [])
        if hearing in hearings:
            hearings.remove(hearing)
            if not hearings:
                del self._by_topic[hearing.topic], self._held[hearing.topic]
                self._audience_changed(hearing.topic)

    def hold(self, topics: Iterable[str]) -> None:
        """The server gives us what is published to these."""
        for topic in topics:
            if topic in self._held:
                self._held[topic].set()

    def lose(self) -> None:
        """The connection is gone: none holds."""
        for held in self._held.values():
            held.clear()

    async def held(self, topic: str) -> None:
        """Return when it is held, or nobody hears it any more."""
        if topic in self._held:
            await self._held[topic].wait()

    def heard(self, topic: str, data: bytes) -> None:
        """A message came. One hearer that fails costs the others nothing."""
        for hearing in tuple(self._by_topic.get(topic, ())):
            try:
                hearing.hear(data)
            except Exception:
                logger.exception("A message of %r failed where it was heard.", topic)

    def clear(self) -> None:
        """Nobody hears anything."""
        self.hold(self.topics())  # whoever waits
        self._by_topic.clear()
        self._held.clear()


class _Hearing(Hearing):
    def __init__(self, hearings: Hearings, topic: str, hear: Hear) -> None:
        self._hearings, self.topic, self.hear = hearings, topic, hear

    async def holds(self) -> None:
        await self._hearings.held(self.topic)

    async def close(self) -> None:
        self._hearings.discard(self)
