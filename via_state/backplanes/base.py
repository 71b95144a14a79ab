"""The contract of a backplane: a store of cells and a set of append-only logs.

A backplane is pulled, in batches; nothing is pushed but doorbells. Gap-free resume then holds by construction.
All coroutines run on one event loop, the pod's; only `append_now` is called from any thread. The conformance suite in `via_state.testing.conformance` is the
contract's executable half: an adapter that passes it works.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from via_state.backplanes.keys import MAX_KEY, check_key
from via_state.backplanes.subscriptions import Hear, Hearing, Ring, Watch
from via_state.backplanes.timing import time_verbs
from via_state.core.findings import Finding, several
from via_state.core.records import (
    GENESIS,
    Append,
    AppendedAfter,
    Batch,
    Cell,
    Changes,
    LogBounds,
    Pack,
    Position,
    Revision,
)
from via_state.exceptions import (
    AppendTooLarge,
    CASConflict,
    Closed,
    InvalidKey,
    MessageTooLarge,
    ValueTooLarge,
    ViaStateError,
)

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

__all__ = [
    "CURSOR_LIFE",
    "GENESIS",
    "MAX_KEY",
    "Append",
    "AppendedAfter",
    "Backplane",
    "Batch",
    "Cell",
    "Changes",
    "Finding",
    "Hear",
    "Hearing",
    "LogBounds",
    "Pack",
    "Position",
    "Revision",
    "Ring",
    "Watch",
    "check_key",
    "conflict",
]

#: Seconds after which the cursor of a sweep proves nothing: what was removed since may be forgotten.
CURSOR_LIFE = 1800.0

#: Heads that are asked for at the same time where each is a question of its own.
HEADS_AT_ONCE = 50

_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")


def conflict(key: str, expected: Revision | None, cell: Cell | None) -> CASConflict:
    """What `Backplane.cas` raises where ``cell`` is there instead of what was ``expected``."""
    found = None if cell is None else cell.revision
    return CASConflict(f"{key!r} is at {found}, not at {expected}.", cell)


class Backplane(ABC):
    """Where cells and logs live. Construct with the ``OPTIONS`` of the ``VIA_STATE`` setting.

    Constructing does no I/O: connections are made by the first verb, and made again after they break.

    Every verb raises `BackplaneUnavailable` when nothing was written (it could not be sent, or the server refused),
    `OutcomeUnknown` when a write was sent and no answer came, and `Closed` after `close`, also when it was under way
    then. "Error" is never "absent": a failed load raises.
    Keys are non-empty strings of up to 512 characters, any Unicode but NUL and lone surrogates; every verb raises
    `InvalidKey` for others.
    """

    #: True when other processes see the same data. False: one process only (the memory backplane).
    shared: ClassVar[bool]
    #: True when the data outlives the process.
    durable: ClassVar[bool]
    #: True when `compact` discards; False when the adapter keeps all records.
    compacts: ClassVar[bool]
    #: True when each record's offset is the one before plus 1. A gap then proves that records are gone: `read` reports it.
    dense: ClassVar[bool] = False
    #: Seconds after a first attempt during which a repeated append id, or cell write, may be sent and is recognised.
    #: The adapter remembers them for longer: what is sent at the last moment takes a while to arrive.
    retry_window: ClassVar[float]
    #: How many `append_many` a pod has under way at once. Fewer are larger ones; where the server makes one durable while the next one
    #: is written, it is worth having two.
    trains: ClassVar[int] = 2
    #: Whether there is `append_now`: an append that waits for nothing.
    immediate: ClassVar[bool] = False
    #: Largest ``data`` of one append, in bytes; largest number of records in one append.
    max_append_bytes: int
    max_append_records: int
    #: Records of one read in which the adapter is fast. A reader that has far to go asks for so many; the adapter bounds their bytes.
    batch_records: int = 1000
    #: Largest ``data`` of a cell, in bytes: the value in its stored form.
    max_value_bytes: int
    #: Largest ``data`` of one message, in bytes; 0 for an adapter that carries none.
    max_message_bytes: int = 0

    def __init_subclass__(cls) -> None:
        time_verbs(cls)

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    def check_append(self, key: str, count: int, data: bytes) -> None:
        """Raise what `append` raises before it sends anything: `InvalidKey`, `AppendTooLarge`, ValueError for no record."""
        check_key(key)
        if count < 1:
            raise ValueError(f"An append has at least one record, not {count}.")
        if count > self.max_append_records or len(data) > self.max_append_bytes:
            raise AppendTooLarge(
                f"{several(count, 'record', 'records')} with {len(data):,} bytes: more than one append takes "
                f"({self.max_append_records:,} records, {self.max_append_bytes:,} bytes). Append less at once."
            )

    def checked_appends(
        self, appends: Sequence[Append]
    ) -> tuple[dict[str, Position | ViaStateError], list[Append]]:
        """What `check_append` says of each: the errors, by key, and the appends that may be sent."""
        refused, sound = dict[str, Position | ViaStateError](), list[Append]()
        for one in appends:
            try:
                self.check_append(one.key, one.count, one.data)
            except (InvalidKey, AppendTooLarge) as error:
                refused[one.key] = error
            else:
                sound.append(one)
        return refused, sound

    def check_value(self, key: str, data: bytes) -> None:
        """Raise what `cas` raises before it sends anything: `InvalidKey`, `ValueTooLarge`."""
        check_key(key)
        if len(data) > self.max_value_bytes:
            raise ValueTooLarge(
                f"The value of {key!r} takes {len(data)} bytes as it is stored, and the backplane takes "
                f"{self.max_value_bytes}. Nothing was written. Keep less in one value: a family with a key for each part, "
                "or a StateAppEvents where it only grows."
            )

    def check_message(self, topic: str, data: bytes = b"") -> None:
        """Raise what `publish` and `hear` raise before they send anything: ValueError for a topic, `MessageTooLarge`,
        NotImplementedError where no messages are carried.
        """
        if not self.max_message_bytes:
            raise NotImplementedError(f"{type(self).__name__} carries no messages.")
        if not _TOPIC.fullmatch(topic):
            raise ValueError(f"{topic!r:.80} is not a topic: give 1 to 64 of the characters A-Z a-z 0-9 _ -.")
        if len(data) > self.max_message_bytes:
            raise MessageTooLarge(
                f"A message of {len(data)} bytes is more than the backplane carries ({self.max_message_bytes} bytes)."
            )

    def refused(self, messages: Sequence[tuple[str, bytes]]) -> list[Exception | None]:
        """What `check_message` raises for each."""
        errors: list[Exception | None] = []
        for topic, data in messages:
            try:
                self.check_message(topic, data)
                errors.append(None)
            except (ValueError, MessageTooLarge, NotImplementedError) as error:
                errors.append(error)
        return errors

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        """System checks of this adapter's options and surroundings. Does no I/O."""
        return []

    @classmethod
    def check_deployment(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        """What ``check --deploy`` has to say in addition."""
        return []

    # Store ------------------------------------------------------------------------------------------------

    @abstractmethod
    async def load_many(self, keys: Iterable[str]) -> dict[str, Cell]:
        """The cells that exist, by key; absent and expired ones are left out."""

    async def load(self, key: str) -> Cell | None:
        """The cell, or None when it is absent or expired."""
        return (await self.load_many([key])).get(key)

    async def revisions(self, keys: Iterable[str]) -> dict[str, Revision]:
        """Which writes the cells hold, by key; absent and expired ones are left out."""
        return {key: cell.revision for key, cell in (await self.load_many(keys)).items()}

    @abstractmethod
    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None = None) -> Revision:
        """Replace the cell if its revision is still ``expected``, both parts of it (None: if it is absent).

        Returns the new revision, with a new random write id. ``ttl`` seconds later, by the server's clock, the cell counts as
        absent; None keeps it for ever. Raises `CASConflict`, which brings the cell that is there instead, and `ValueTooLarge` before
        sending.

        Nothing is ever deleted: a cell that is reset holds, for a while, which write did that.
        """

    @abstractmethod
    async def cells(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, Cell]:
        """The cells that exist and whose keys begin so, ``limit`` at most, in an order of the adapter's own.

        ``after`` is the last key of the page before; an empty page is the end.
        """

    @abstractmethod
    async def prune(self, limit: int = 1000) -> int:
        """Free the space of at most ``limit`` expired cells; returns how many.

        Where there are very many cells a call may look at a part of them, and the next one continues there.
        """

    # Event log --------------------------------------------------------------------------------------------

    @abstractmethod
    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        """Append ``count`` records, packed in ``data``: all of them or none. Durable when it returns.

        Returns the position of the *last* one; the others lie densely before it. Repeating an ``append_id``
        within `retry_window` appends nothing and returns the first attempt's position.
        An adapter that sees, at the moment of the append, which record was the last one before it may return an `AppendedAfter`, here
        and from `append_many`: a pod that has folded that record folds its own append without reading it back.
        Raises `AppendTooLarge` before sending.
        """

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        """What `append` gives for each of several logs, sent together: by key, the position, or the error that `append` would raise.

        Each append is all or none by itself, and what keeps one from its log keeps no other one from its own: of a log that is
        left out, nothing was written, and whoever asks appends to that one alone, with the same id. Nobody waits here for what
        one log waits for. Each key is in ``appends`` once, and a repeated ``append_id`` counts once, as in `append`.
        Raises `BackplaneUnavailable` when nothing of all was written, `OutcomeUnknown` when each may have been, and `Closed`.

        An adapter that can't leaves out all of them.
        """
        return {}

    def append_now(self, key: str, count: int, data: bytes) -> Position:
        """`append` under a new id that the adapter chooses, in the thread of the caller, whichever that is. Where the adapter is ``immediate``.

        The order of the calls is the order of the records, and doorbells ring on the loop. Raises what `append` raises before it sends anything.
        """
        raise NotImplementedError(f"{type(self).__name__} appends on the loop alone.")

    @abstractmethod
    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        """What follows ``after``: about ``limit`` records, never fewer than one pack, unless at the head.

        Reads by offset alone, whatever the epoch: the reader judges the evidence in the batch. Where offsets are
        ``dense``, a batch ends before a hole, and one that would begin with it says how far that goes.
        """

    async def read_many(self, after: Mapping[str, Position], limit: int = 1000) -> dict[str, Batch]:
        """What `read` gives for each of several logs, in one question. An adapter that can't, or for which that is too much at once,
        leaves out keys: whoever asks reads those alone.
        """
        return {}

    @abstractmethod
    async def head(self, key: str) -> LogBounds:
        """The two ends of the log, read from the leader."""

    async def heads(self, keys: Iterable[str]) -> dict[str, LogBounds]:
        """The two ends of several logs, read from the leader; those that were never written may be left out.

        An adapter that can ask for many at once overrides this.
        """
        keys, found = list(keys), dict[str, LogBounds]()
        for start in range(0, len(keys), HEADS_AT_ONCE):
            some = keys[start : start + HEADS_AT_ONCE]
            found |= zip(some, await asyncio.gather(*map(self.head, some)), strict=True)
        return found

    async def count(self, key: str, after: int, head: LogBounds) -> int:
        """The number of records after the offset ``after``, up to ``head``: the log's, just read. Many may be estimated;
        0 says that there is none.

        Where offsets have no gaps nobody needs to be asked; an adapter whose offsets have some overrides this.
        """
        check_key(key)
        return max(0, head.position.offset - max(after, head.floor.offset))

    @abstractmethod
    async def changed(self, cursor: object | None) -> Changes:
        """The logs and cells that moved since ``cursor``. With None: a new cursor and no keys, so that whoever
        loads a key *after* taking a cursor misses nothing.

        A cursor that proves nothing here (of another server or adapter, or too old) is answered with ``everything``.
        A cell that only expired may be left out.
        """

    @abstractmethod
    def watch(self, ring: Ring) -> Watch:
        """Subscribe to doorbells. ``ring`` is called on the loop."""

    @abstractmethod
    async def drop(self, key: str, last: Position | None = None) -> None:
        """Delete the log with all its records. The next append begins a new epoch.

        With ``last``, no record that comes after it is deleted: where the log's last record is another one, nothing is done, or
        those after ``last`` are a log of a new epoch.
        """

    @abstractmethod
    async def logs(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, LogBounds]:
        """The logs that hold or held records and whose keys begin so, ``limit`` at most, in an order of the adapter's own.

        ``after`` is the last key of the page before; an empty page is the end.
        """

    @abstractmethod
    async def compact(self, key: str, through: int, epoch: str | None = None) -> int:
        """Discard the records up to offset ``through``, a record's; returns the floor's offset afterwards.

        With ``epoch``, only while it is the log's: what is decided about one history must not be done to another.
        Clamped to the head; never lowers the floor. The floor is durable before anything is discarded, and what an
        interrupted compaction left goes with the next one, also when that has nothing to raise. Offsets of retained
        records never change, and numbering continues. An adapter with ``compacts = False`` returns 0.
        """

    # Messages: optional ------------------------------------------------------------------------------------

    async def publish(self, topic: str, data: bytes) -> None:
        """Give ``data`` to all who hear ``topic`` now, in this process and in others: at most once, and stored nowhere. What one
        caller publishes after the other is heard in that order.

        Whoever can write to the same database or server may publish too: what is heard is a stranger's until it is verified.
        Raises `MessageTooLarge` and ValueError (the topic) before sending. When it returns, the server has it; what breaks
        between the server and a hearer is lost.
        """
        raise NotImplementedError(f"{type(self).__name__} carries no messages.")

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[Exception | None]:
        """Publish messages, each a topic and its data, in this order. Returns for each what `publish` would have raised, or None.

        Raises what keeps all of them from being sent. An adapter that can send several at once overrides this.
        """
        errors: list[Exception | None] = []
        for topic, data in messages:
            try:
                await self.publish(topic, data)
                errors.append(None)
            except Closed:
                raise
            except Exception as error:
                errors.append(error)
        return errors

    def hear(self, topic: str, hear: Hear) -> Hearing:
        """Call ``hear``, on the loop, with what is published to ``topic`` from now on. Returns at once; it may take a moment to
        hold. After a connection broke it holds again by itself, and what was published meanwhile is lost.
        """
        raise NotImplementedError(f"{type(self).__name__} carries no messages.")

    # ------------------------------------------------------------------------------------------------------

    async def examine(self) -> list[Finding]:
        """What ``manage.py state_doctor`` says of the servers: each thing that it looks at, also those that are well.

        Takes a few seconds at most, and changes nothing. Raises `BackplaneUnavailable` where the servers do not answer. An adapter with
        something to look at overrides this.
        """
        return []

    async def erase(self) -> None:  # noqa: B027  # an adapter may leave it out
        """Remove all logs and cells, and whatever holds them. For tests: nobody else uses them, nor this afterwards.

        What ends with the process needs nothing; an adapter that keeps more overrides this.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Afterwards every verb raises `Closed`, nothing blocks. Closing twice is harmless."""
