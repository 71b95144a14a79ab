"""Seals: proof that a process which has ``SECRET_KEY`` said something, of this topic, within the last minute, and that it was not heard before."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import logging
import secrets
import struct
import time
from collections import OrderedDict

from django.conf import settings
from django.utils.crypto import salted_hmac

from via_state import telemetry
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


class Sealer:
    """Seals what one sender says, and opens what others say. In one thread."""

    def __init__(self) -> None:
        self._sender = secrets.token_bytes(8)
        self._numbers = itertools.count()
        self._windows: OrderedDict[tuple[bytes, str], ReplayWindow] = OrderedDict()
        self._complained = -QUIET
        #: How many messages were dropped, because they were forged, old or heard before.
        self.dropped = 0

    def seal(self, topic: str, data: bytes) -> bytes:
        """``data`` with its seal, `OVERHEAD` bytes longer."""
        said = _HEAD.pack(self._sender, next(self._numbers), time.time()) + data
        return _tag(keys()[0], topic, said) + said

    def open(self, topic: str, sealed: bytes) -> bytes | None:
        """What was sealed; None for what does not count, which is logged once a minute."""
        if objection := self._objection(topic, sealed):
            self.drop(topic, *objection)
            return None
        return sealed[OVERHEAD:]

    def drop(self, topic: str, code: str, why: str) -> None:
        """Count a message that is not heard. ``code``: why, in a word."""
        self.dropped += 1
        telemetry.MessageDropped(topic.partition("-")[0], code).emit()
        if time.monotonic() - self._complained >= QUIET:
            self._complained = time.monotonic()
            logger.warning("A message of %r was dropped: %s. %s so far.", topic, why, self.dropped)

    def _objection(self, topic: str, sealed: bytes) -> tuple[str, str] | None:
        tag, said = sealed[:TAG], sealed[TAG:]
        if len(said) < _HEAD.size or not any(hmac.compare_digest(tag, _tag(key, topic, said)) for key in keys()):
            return "forged", "it is not of a process that has this SECRET_KEY"
        sender, number, sent = _HEAD.unpack_from(said)
        if not abs(time.time() - sent) <= MAX_AGE:
            return "old", f"it is {time.time() - sent:.0f} s old; if it is not, the clocks of two machines differ"
        window = self._windows.pop((sender, topic), None) or ReplayWindow()
        self._windows[sender, topic] = window
        if len(self._windows) > SENDERS:
            self._windows.popitem(last=False)
        return None if window.fresh(number) else ("replay", "it was heard before")


def keys() -> list[bytes]:
    """What is made of ``SECRET_KEY``, with which we seal, then of its fallbacks, which we accept as well."""
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
