"""What a folded value depends on besides its log: which code may continue from a snapshot that other code made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec


def short_hash(data: bytes) -> str:
    """16 hexadecimal digits that differ where the data differs."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Manifest(msgspec.Struct, frozen=True):
    """The parts of the code that fold one log.

    ``version`` is the declaration's; ``value`` stands for the structure of the value, ``zero`` for the value before the
    first event, ``folds`` maps each stored event name to what stands for its fold.
    """

    version: int
    value: str
    zero: str
    folds: Mapping[str, str]
    retired: Sequence[str] = ()

    @property
    def text(self) -> str:
        """Its stored form."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Of its stored form. Raises `msgspec.MsgspecError`."""
        return msgspec.json.decode(text, type=cls)

    @property
    def fingerprint(self) -> str:
        """Its short name."""
        return short_hash(self.text.encode())

    def continues(self, other: Manifest) -> bool:
        """Whether what ``other`` folded is what this code folds of the same log.

        It is when this code only knows more events: whoever makes a snapshot has met none that it did not know.
        """
        return (
            (self.version, self.value, self.zero) == (other.version, other.value, other.zero)
            and all(self.folds.get(name) == fold for name, fold in other.folds.items())
            and not any(name in self.folds for name in other.retired)
        )

    def differences(self, other: Manifest) -> str:
        """What keeps this code from continuing where ``other`` stopped, for people."""
        found = []
        if self.version != other.version:
            found.append(f"version {other.version} became {self.version}")
        if self.value != other.value:
            found.append("the type of the value changed")
        if self.zero != other.zero:
            found.append("the value before the first event changed")
        for name, fold in other.folds.items():
            if name not in self.folds:
                found.append(f"the event {name} is gone")
            elif self.folds[name] != fold:
                found.append(f"the fold of {name} changed")
        found += [f"the event {name} was retired and is back" for name in other.retired if name in self.folds]
        return ", ".join(found)
