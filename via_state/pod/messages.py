"""Messages between pods: sealed by whoever sends them, and verified by whoever hears them.

Whoever may write to the project's database or NATS server may publish there, so what a backplane gives us is a stranger's until its
seal was looked at.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from via_state.backplanes.base import Backplane, Hear, Hearing
from via_state.pod.sealing import OVERHEAD, Sealer


class Messages:
    """What this pod says and hears. All on the pod's loop."""

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane
        self._sealer = Sealer()
        self._hearings: weakref.WeakSet[Hearing] = weakref.WeakSet()

    @property
    def dropped(self) -> int:
        """How many messages were dropped, because they were forged, old or heard before."""
        return self._sealer.dropped

    @property
    def max_bytes(self) -> int:
        """Of one message; 0 where the backplane carries none."""
        return max(0, self._backplane.max_message_bytes - OVERHEAD)

    async def publish(self, topic: str, data: bytes) -> None:
        """Say it to all pods of the project, this one too: at most once. See `Backplane.publish`."""
        await self._backplane.publish(topic, self._sealer.seal(topic, data))

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[Exception | None]:
        """Say several things, each a topic and its data, in this order. See `Backplane.publish_many`."""
        return await self._backplane.publish_many(
            [(topic, self._sealer.seal(topic, data)) for topic, data in messages]
        )

    def hear(self, topic: str, hear: Hear) -> Hearing:
        """Have ``hear(data)`` called with what pods of this project say."""

        def verify(sealed: bytes) -> None:
            data = self._sealer.open(topic, sealed)
            if data is not None:
                hear(data)

        hearing = self._backplane.hear(topic, verify)
        self._hearings.add(hearing)
        return hearing

    async def close(self) -> None:
        """Hear no more, also where the backplane stays."""
        for hearing in tuple(self._hearings):
            await hearing.close()
