"""What a folded value depends on besides its log: which code may continue from a snapshot that other code made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec


def short_hash(data: bytes) -> str:
    """16 hexadecimal digits that differ where the data differs."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Reading(msgspec.Struct, frozen=True):
    """How the stored form of one event becomes an object.

    ``fields`` maps the stored names of fields to what stands for their types and defaults, ``required`` are those without a
    default; ``rules`` stands for the rest: versions, upcasters, ``__post_init__``, validators, the layout.
    """

    rules: str
    fields: Mapping[str, str]
    required: Sequence[str] = ()

    def agrees(self, other: Reading) -> bool:
        """Whether what ``other`` could read is read here, and with the same values in the fields that both have."""
        return (
            self.rules == other.rules
            and all(self.fields[name] == other.fields[name] for name in self.fields.keys() & other.fields.keys())
            and all(name in other.fields for name in self.required)
        )


class Manifest(msgspec.Struct, frozen=True):
    """The parts of the code that fold one log.

    ``version`` is the declaration's; ``value`` stands for the structure of the value, ``initial`` for the value before the
    first event, ``folds`` maps each stored event name to what stands for its fold, ``events`` to how it is read.
    """

    version: int
    value: str
    initial: str
    folds: Mapping[str, str]
    retired: Sequence[str] = ()
    events: Mapping[str, Reading] = {}

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

        It is when this code only knows more events, or more fields with a default: whoever makes a snapshot has met no
        record that it could not read.
        """
        return self.folds_like(other) and not self._read_otherwise(other)

    def folds_like(self, other: Manifest) -> bool:
        """Whether this code does with the events what ``other`` does, though it may read them otherwise.

        Where this code can't fold the log itself, because records are gone or it can't read them, what ``other`` folded is
        the truth about them.
        """
        return (
            (self.version, self.value, self.initial) == (other.version, other.value, other.initial)
            and all(self.folds.get(name) == fold for name, fold in other.folds.items())
            and not any(name in self.folds for name in other.retired)
        )

    def _read_otherwise(self, other: Manifest) -> list[str]:
        """The stored names of events of ``other`` that this code reads in another way."""
        found = []
        for name in other.folds:
            mine, theirs = self.events.get(name), other.events.get(name)
            if mine != theirs and (mine is None or theirs is None or not mine.agrees(theirs)):
                found.append(name)
        return found

    def differences(self, other: Manifest) -> str:
        """What keeps this code from continuing where ``other`` stopped, for people."""
        found = []
        if self.version != other.version:
            found.append(f"version {other.version} became {self.version}")
        if self.value != other.value:
            found.append("the type of the value changed")
        if self.initial != other.initial:
            found.append("the value before the first event changed")
        for name, fold in other.folds.items():
            if name not in self.folds:
                found.append(f"the event {name} is gone")
            elif self.folds[name] != fold:
                found.append(f"the fold of {name} changed")
        found += [f"the event {name} was retired and is back" for name in other.retired if name in self.folds]
        if not found:
            found = [f"the event {name} is read otherwise" for name in self._read_otherwise(other)]
        return ", ".join(found)
