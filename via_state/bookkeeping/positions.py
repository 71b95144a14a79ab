"""Where the positions of event handlers are kept: the interface, and what travels over it.

All functions are plain calls: they run on the workers' threads.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from via_state.core.delivery import Retry
from via_state.core.records import GENESIS, LogBounds, Position

#: The error of a record whose worker was gone before it had an outcome.
DIED = "the worker that ran the handler died"
#: The error of records of which one may have ended their worker.
SUSPECT = "the worker died while it handled this record and others: it is handled alone next"
#: How the error of a position begins whose log can't be read.
AWAY = "The log can't be read: "
#: The error of a record that this code must leave to newer code.
BLOCKED = "a record is of an event that only newer code knows: deploy that one, or put its name into retired="


class HandlerId(NamedTuple):
    """A handler by name. ``template`` is the declared key."""

    template: str
    name: str


class Registration(Protocol):
    """What is kept of a declared handler. ``start``: "first" or "head"."""

    @property
    def start(self) -> str: ...

    @property
    def atomic(self) -> bool: ...

    @property
    def retry(self) -> Retry: ...


@dataclass(slots=True)
class Claim:
    """The right to run one handler on one key, and where it stands. Only the holder of the newest ``fence`` writes.
    Its attributes are those of a row, and what this process knows of it.

    ``in_flight_offset`` is the offset that is announced as being delivered, or `together` of the last one's where several are, in one
    transaction. ``alone_until``: up to this offset records are delivered one by one, because one of them failed together with the
    others, or may have ended a worker. ``wait`` are the seconds until the next attempt. ``wanted``:
    somebody waits for the position, so no further record is begun. ``first_failed``: when the record after the position failed
    for the first time, in monotonic seconds of this process; the store knows it by its own clock.
    """

    id: int
    handler: HandlerId
    key: str
    worker: str
    fence: int
    position: Position = GENESIS
    from_floor: bool = False
    in_flight_offset: int = 0
    attempts: int = 0
    wait: float = 0.0
    halted: str = ""
    halted_text: str = ""
    last_error: str = ""
    wanted: bool = False
    first_failed: float | None = None
    alone_until: int = 0

    def failing_for(self) -> float:
        """Seconds since the first failure of the record, 0 where it has not failed."""
        return 0.0 if self.first_failed is None else time.monotonic() - self.first_failed

    def failed(self, attempts: int, error: str) -> None:
        """The record has now failed ``attempts`` times. The store has written it."""
        if attempts and not self.attempts:
            self.first_failed = time.monotonic()
        self.attempts, self.last_error, self.in_flight_offset = attempts, error, 0


#: What is in flight while a dead letter is replayed: the position's own record is not delivered.
REPLAYING = -1


def together(offset: int) -> int:
    """What is in flight while several records, up to the one at ``offset``, are delivered in one transaction. Given that, the offset."""
    return REPLAYING - offset


class Held(NamedTuple):
    """A position that somebody else holds. ``idle``: nothing is delivered at this moment."""

    position: Position
    idle: bool


#: For `PositionStore.claim`: take nothing from anyone.
NOBODY: Mapping[str, int] = {}
#: Why a record became a dead letter.
FAILED, UNREADABLE = "failed", "unreadable"


class Letter(NamedTuple):
    """A record that was given up, with the stored form of its event. ``reason``: `FAILED`, or `UNREADABLE` by the code of then."""

    position: Position
    event_name: str
    event_version: int
    payload: str
    error: str
    traceback: str
    attempts: int
    reason: str = FAILED
    metadata: str = ""


class PositionStore(ABC):
    """Raises `Fenced` where the claim is no longer the newest, `BackplaneUnavailable` when the store can't be reached."""

    @abstractmethod
    def register(self, handlers: Mapping[HandlerId, Registration]) -> list[HandlerId]:
        """Make handlers known; from now on they keep their records. Returns those whose start must be set: `started`."""

    @abstractmethod
    def started(self, handler: HandlerId, heads: Mapping[str, LogBounds]) -> None:
        """Set where a new handler begins in the logs that exist."""

    @abstractmethod
    def positions(
        self, handlers: Iterable[HandlerId], keys: Sequence[str]
    ) -> dict[tuple[HandlerId, str], Position]:
        """The positions of these handlers on these keys; a log without one has not been begun."""

    @abstractmethod
    def halted(self, positions: Sequence[tuple[HandlerId, str]]) -> set[tuple[HandlerId, str]]:
        """Those of them that are halted."""

    @abstractmethod
    def renew(self, worker: str, worker_group: str, lease: float) -> list[str]:
        """Be alive for ``lease`` seconds from now. Returns who of the worker group is alive, oneself among them.

        A worker group are the workers that run the same handlers on the same keys.
        """

    @abstractmethod
    def forgotten(self, worker: str) -> bool:
        """Whether the last renewal found another store than the one before it: rows were removed, or a backup restored. Asks nobody."""

    @abstractmethod
    def held(self, worker: str) -> set[int]:
        """The ids of the claims that are the worker's now."""

    @abstractmethod
    def release_idle(self, worker: str) -> None:
        """Give everything up that the worker holds and delivers nothing of. Claims of it are no longer the newest."""

    @abstractmethod
    def leave(self, worker: str) -> None:
        """Give everything up that the worker holds."""

    @abstractmethod
    def claim(
        self, handler: HandlerId, keys: Sequence[str], worker: str, idle: Mapping[str, int] = NOBODY
    ) -> dict[str, Claim | Held]:
        """Take the positions of one handler on these keys that nobody alive holds. Nothing is returned of a handler that was retired.

        ``idle``: offsets by key; one that is still there, and where nothing is delivered at this moment, is taken from its holder.
        """

    @abstractmethod
    def release(self, worker: str, positions: Sequence[tuple[HandlerId, str]]) -> None:
        """Give positions up that nothing runs on, as far as the worker holds them."""

    @abstractmethod
    def advance(self, claim: Claim, position: Position, in_flight_offset: int) -> None:
        """Everything up to ``position`` is done; the record at ``in_flight_offset`` is delivered next (0: none). Changes the claim.

        Where somebody waits for the position, nothing is delivered next, and the claim is ``wanted``.
        """

    @abstractmethod
    def announce(self, claim: Claim, in_flight_offset: int) -> None:
        """The record at ``in_flight_offset`` is delivered next; the position stays. Changes the claim, as `advance` does."""

    def hand_on(self, claim: Claim, position: Position, other: Claim, in_flight_offset: int) -> None:
        """``advance(claim, position, 0)``, and where that costs nothing more ``announce(other, in_flight_offset)`` with it. Raises nothing
        of the other one, whose claim says whether it was announced.
        """
        self.advance(claim, position, 0)

    @abstractmethod
    def fail(self, claim: Claim, attempts: int, error: str, wait: float, lines: str = "") -> None:
        """The record after the position failed, and is tried again in ``wait`` seconds. Changes the claim.

        ``lines``: the traceback, where there is one.
        """

    @abstractmethod
    def away(self, handler: HandlerId, key: str, worker: str, seconds: float, error: str) -> None:
        """Keep in sight that the worker has tried for ``seconds`` to read what follows a position, and why that fails.

        A record that fails stays in sight instead.
        """

    @abstractmethod
    def answered(self, claim: Claim) -> None:
        """It was read: forget `away`. Changes the claim."""

    @abstractmethod
    def add_letter(self, claim: Claim, letter: Letter, in_flight_offset: int) -> None:
        """Keep the record as a dead letter and advance past it, both or neither. Changes the claim."""

    @abstractmethod
    def halt(self, claim: Claim, reason: str, text: str) -> None:
        """Halt until a person says where to resume. Changes the claim."""

    @abstractmethod
    def end_of_work(self) -> None:
        """A worker's thread has nothing to do: close what it holds open."""
