"""Messages between pods: sealed by whoever sends them, and verified by whoever hears them.

Whoever may write to the project's database or NATS server may publish there, so what a backplane gives us is a stranger's. A seal
proves that a process which has ``SECRET_KEY`` said it, of this topic, within the last minute, and that it was not heard before.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import logging
import secrets
import struct
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable

from django.conf import settings
from django.utils.crypto import salted_hmac

from via_state.backplanes.base import Backplane, Hear, Hearing
from via_state.core.replay import ReplayWindow

logger = logging.getLogger("via_state.pod")

TAG = 16
#: Sender, number, time of sending in seconds.
_HEAD = struct.Struct("!8sQd")
OVERHEAD = TAG + _HEAD.size
#: Seconds that clocks may differ, and that a message may be on its way.
MAX_AGE = 60.0
#: Senders, each with a topic, of whom it is known what they said last.
SENDERS = 10_000
#: Seconds between two lines about messages that were dropped.
QUIET = 60.0


class Messages:
    """What this pod says and hears. All on the pod's loop."""

    def __init__(self, backplane: Backplane) -> None:
        self._backplane = backplane
        self._sender = secrets.token_bytes(8)
        self._numbers = itertools.count()
        self._windows: OrderedDict[tuple[bytes, str], ReplayWindow] = OrderedDict()
        self._hearings: weakref.WeakSet[Hearing] = weakref.WeakSet()
        self._complained = -QUIET
        #: How many messages were dropped, because they were forged, old or heard before.
        self.dropped = 0

    @property
    def max_bytes(self) -> int:
        """Of one message; 0 where the backplane carries none."""
        return max(0, self._backplane.max_message_bytes - OVERHEAD)

    async def publish(self, topic: str, data: bytes) -> None:
        """Say it to all pods of the project, this one too: at most once. See `Backplane.publish`."""
        await self._backplane.publish(topic, self._sealed(topic, data))

    def hear(self, topic: str, hear: Hear) -> Hearing:
        """Have ``hear(data)`` called with what pods of this project say."""
        hearing = self._backplane.hear(topic, self._verified(topic, hear))
        self._hearings.add(hearing)
        return hearing

    async def close(self) -> None:
        """Hear no more, also where the backplane stays."""
        for hearing in tuple(self._hearings):
            await hearing.close()

    def _sealed(self, topic: str, data: bytes) -> bytes:
        said = _HEAD.pack(self._sender, next(self._numbers), time.time()) + data
        return _tag(_keys()[0], topic, said) + said

    def _verified(self, topic: str, hear: Hear) -> Callable[[bytes], None]:
        def verify(sealed: bytes) -> None:
            why = self._objection(topic, sealed)
            if why:
                self._drop(topic, why)
            else:
                hear(sealed[OVERHEAD:])

        return verify

    def _objection(self, topic: str, sealed: bytes) -> str:
        tag, said = sealed[:TAG], sealed[TAG:]
        if len(said) < _HEAD.size or not any(hmac.compare_digest(tag, _tag(key, topic, said)) for key in _keys()):
            return "it is not of a process that has this SECRET_KEY"
        sender, number, sent = _HEAD.unpack_from(said)
        if not abs(time.time() - sent) <= MAX_AGE:
            return f"it is {time.time() - sent:.0f} s old; if it is not, the clocks of two machines differ"
        window = self._windows.pop((sender, topic), None) or ReplayWindow()
        self._windows[sender, topic] = window
        if len(self._windows) > SENDERS:
            self._windows.popitem(last=False)
        return "" if window.fresh(number) else "it was heard before"

    def _drop(self, topic: str, why: str) -> None:
        self.dropped += 1
        if time.monotonic() - self._complained >= QUIET:
            self._complained = time.monotonic()
            logger.warning("A message of %r was dropped: %s. %s so far.", topic, why, self.dropped)


def _keys() -> list[bytes]:
    """The one that we seal with, then those that we accept as well."""
    return [_key(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


_made: dict[str | bytes, bytes] = {}


def _key(secret: str | bytes) -> bytes:
    if secret not in _made:
        _made[secret] = salted_hmac("via_state.messages", "", secret=secret, algorithm="sha256").digest()
    return _made[secret]


def _tag(key: bytes, topic: str, said: bytes) -> bytes:
    made = hashlib.blake2b(f"{topic}\0".encode(), key=key, digest_size=TAG)
    made.update(said)
    return made.digest()
