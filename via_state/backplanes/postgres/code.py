"""What keys are called in doorbells: NOTIFY reaches every role that may connect, so nothing in it says anything to others."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from django.conf import settings
from django.utils.crypto import salted_hmac

#: Characters of a key's name in a payload.
WIDTH = 16


class Code:
    """The names that the processes of one prefix and one ``SECRET_KEY`` use. Whoever lacks that key can't read, make or hear
    them: the channel's name depends on it as well.
    """

    def __init__(self, secret: str | bytes, prefix: str) -> None:
        self._key = salted_hmac("via_state.doorbell", prefix, secret=secret, algorithm="sha256").digest()
        self.channel = self._channel(b"channel")
        #: Of messages.
        self.messages = self._channel(b"messages")
        #: The name for "anything may have changed"; no key is empty.
        self.everything = self.of("")

    def _channel(self, kind: bytes) -> str:
        return "via_state_" + hashlib.blake2b(kind, key=self._key, digest_size=16).hexdigest()

    def of_topic(self, topic: str) -> str:
        """The name of a topic, of `WIDTH` characters."""
        return self.of(f"\0{topic}")  # no key has that

    def of(self, key: str) -> str:
        """The name of a key, of `WIDTH` characters."""
        digest = hashlib.blake2b(key.encode(), key=self._key, digest_size=WIDTH * 3 // 4, person=b"key").digest()
        return base64.b64encode(digest).decode()


def codes(prefix: str) -> list[Code]:
    """The code that this process rings in, then those in which it listens as well: of ``SECRET_KEY_FALLBACKS``."""
    return [Code(secret, prefix) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def names_in(payload: str) -> Iterator[str]:
    """What a payload is made of; anything in somebody else's."""
    return (payload[at : at + WIDTH] for at in range(0, len(payload), WIDTH))
