"""Positions in this process's memory, for the backplane that is in it too."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from django.db import connections

from via_state.bookkeeping.positions import NOBODY, Claim, HandlerId, Held, Letter, PositionStore, Registration
from via_state.core.records import LogBounds, Position
from via_state.exceptions import Fenced

#: Dead letters kept; the oldest leave first.
LETTERS = 1000


class MemoryPositions(PositionStore):
    """One worker, so nobody takes over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._handlers: dict[HandlerId, Registration] = {}
        self._claims: dict[tuple[HandlerId, str], Claim] = {}
        #: Monotonic times of the next attempts, by claim.
        self._due: dict[int, float] = {}
        self.letters: list[tuple[HandlerId, str, Letter]] = []

    def register(self, handlers: Mapping[HandlerId, Registration]) -> list[HandlerId]:
        with self._lock:
            new = [one for one in handlers if one not in self._handlers]
            self._handlers.update(handlers)
            return new

    def started(self, handler: HandlerId, heads: Mapping[str, LogBounds]) -> None:
        with self._lock:
            for key, head in heads.items():
                claim = self._of(handler, key)
                if self._handlers[handler].start == "head":
                    claim.position = head.position
                else:
                    claim.from_floor = True

    def _of(self, handler: HandlerId, key: str) -> Claim:
        claim = self._claims.get((handler, key))
        if claim is None:
            claim = self._claims[handler, key] = Claim(next(self._ids), handler, key, "", 0)
        return claim

    def positions(
        self, handlers: Iterable[HandlerId], keys: Sequence[str]
    ) -> dict[tuple[HandlerId, str], Position]:
        with self._lock:
            wanted = [(handler, key) for handler in handlers for key in keys]
            return {at: self._claims[at].position for at in wanted if at in self._claims}

    def halted(self, positions: Sequence[tuple[HandlerId, str]]) -> set[tuple[HandlerId, str]]:
        with self._lock:
            return {at for at in positions if at in self._claims and self._claims[at].halted}

    def renew(self, worker: str, worker_group: str, lease: float) -> list[str]:
        return [worker]

    def forgotten(self, worker: str) -> bool:
        return False

    def held(self, worker: str) -> set[int]:
        with self._lock:
            return {claim.id for claim in self._claims.values() if claim.worker == worker}

    def release_idle(self, worker: str) -> None:
        with self._lock:
            for claim in self._claims.values():
                if claim.worker == worker and not claim.in_flight_offset:
                    claim.worker, claim.fence = "", claim.fence + 1

    def leave(self, worker: str) -> None:
        with self._lock:
            for claim in self._claims.values():
                if claim.worker == worker:
                    claim.worker, claim.fence = "", claim.fence + 1

    def claim(
        self, handler: HandlerId, keys: Sequence[str], worker: str, idle: Mapping[str, int] = NOBODY
    ) -> dict[str, Claim | Held]:
        with self._lock:
            found: dict[str, Claim | Held] = {}
            for key in keys if handler in self._handlers else ():
                claim = self._of(handler, key)
                claim.worker, claim.fence = worker, claim.fence + 1
                claim.wait = max(0.0, self._due.get(claim.id, 0.0) - time.monotonic())
                found[key] = self._copy(claim)
            return found

    @staticmethod
    def _copy(claim: Claim) -> Claim:
        names = Claim.__slots__
        return Claim(**{name: getattr(claim, name) for name in names})

    def _write(self, claim: Claim) -> None:
        """Store what the claim says. The caller changed it under the lock."""
        stored = self._claims.get((claim.handler, claim.key))
        if stored is None or (stored.worker, stored.fence) != (claim.worker, claim.fence):
            raise Fenced(f"{claim.handler.name} on {claim.key!r} was taken over.")
        self._claims[claim.handler, claim.key] = self._copy(claim)

    def release(self, worker: str, positions: Sequence[tuple[HandlerId, str]]) -> None:
        with self._lock:
            for at in positions:
                stored = self._claims.get(at)
                if stored is not None and stored.worker == worker:
                    stored.worker, stored.in_flight_offset = "", 0

    def announce(self, claim: Claim, in_flight_offset: int) -> None:
        with self._lock:
            claim.in_flight_offset = in_flight_offset
            self._write(claim)

    def advance(self, claim: Claim, position: Position, in_flight_offset: int) -> None:
        with self._lock:
            claim.position, claim.in_flight_offset, claim.from_floor = position, in_flight_offset, False
            claim.attempts, claim.last_error, claim.first_failed = 0, "", None
            self._write(claim)

    def fail(self, claim: Claim, attempts: int, error: str, wait: float, lines: str = "") -> None:
        with self._lock:
            claim.failed(attempts, error)
            self._due[claim.id] = time.monotonic() + wait
            self._write(claim)

    def away(self, handler: HandlerId, key: str, worker: str, seconds: float, error: str) -> None:
        """Nobody else could look at it."""

    def answered(self, claim: Claim) -> None:
        """As `away`."""

    def add_letter(self, claim: Claim, letter: Letter, in_flight_offset: int) -> None:
        with self._lock:
            self.letters = [*self.letters[-LETTERS + 1 :], (claim.handler, claim.key, letter)]
        self.advance(claim, letter.position, in_flight_offset)

    def halt(self, claim: Claim, reason: str, text: str) -> None:
        with self._lock:
            claim.halted, claim.halted_text, claim.in_flight_offset = reason, text, 0
            self._write(claim)

    def end_of_work(self) -> None:
        connections.close_all()
