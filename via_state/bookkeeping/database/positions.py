"""Positions as rows of the project's database. Its clock decides who is alive; its row locks decide who is first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connections
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Now

from via_state.bookkeeping.database import claiming, position_sql, tables, workers
from via_state.bookkeeping.database.commits import committing
from via_state.bookkeeping.database.dead_letters import keep_letter
from via_state.bookkeeping.database.position_rows import hash_position, held_by, positions_at
from via_state.bookkeeping.database.prepared import execute_prepared
from via_state.bookkeeping.database.retention import lock_log
from via_state.bookkeeping.positions import (
    AWAY,
    NOBODY,
    REPLAYING,
    Claim,
    HandlerId,
    Held,
    Letter,
    PositionStore,
    Registration,
)
from via_state.conf import settings
from via_state.core.records import GENESIS, LogBounds, Position
from via_state.exceptions import BackplaneUnavailable, Fenced
from via_state.runtime.database_errors import contended, reaching

if TYPE_CHECKING:
    from via_state.models import EventHandler, HandlerPosition

#: What the database is asked for.
WHAT = "positions of event handlers"


class RowPositions(PositionStore):
    """Rows of the database ``DATABASE``, for the projects with this ``PREFIX``. ``peer``: the process whose worker asks."""

    def __init__(self, peer: str = "") -> None:
        self._peer = peer
        self._ids: dict[HandlerId, int] = {}
        self._leases: dict[str, datetime] = {}  # as they are stored
        self._forgotten: set[str] = set()

    # Handlers ---------------------------------------------------------------------------------------------

    def register(self, handlers: Mapping[HandlerId, Registration]) -> list[HandlerId]:
        new = []
        for handler, spec in handlers.items():
            with reaching(WHAT):
                row = self._register(handler, spec)
            self._ids[handler] = row.pk
            if not row.ready:
                new.append(handler)
        return new

    @staticmethod
    def _register(handler: HandlerId, spec: Registration) -> EventHandler:
        rows = tables.handlers.rows().filter(template=handler.template, name=handler.name)
        retry = spec.retry
        now = {"atomic": spec.atomic, "give_up_after": retry.give_up_after, "max_attempts": retry.max_attempts}
        row = rows.first()
        if row is None:
            with tables.atomic():
                lock_log(handler.template)
                made = tables.handlers.new(
                    template=handler.template, name=handler.name, start=spec.start, registered_at=Now(), **now
                )
                tables.handlers.add(made, keep=True)
            row = rows.get()
        if {name: getattr(row, name) for name in now} != now:
            rows.update(**now)
        return row

    def started(self, handler: HandlerId, heads: Mapping[str, LogBounds]) -> None:
        with reaching(WHAT), tables.atomic():
            lock_log(handler.template)
            row = tables.handlers.rows().filter(pk=self._ids[handler], ready=False).first()
            if row is None:
                return
            # Decided before this handler was registered, done perhaps later.
            compacted = set(
                tables.snapshots.rows()
                .filter(template=row.template, compacted__gt=0)
                .values_list("key", flat=True)
            )
            if row.start == "head":
                begun = [_position(row, key, head.position) for key, head in heads.items()]
            else:
                keys = {key for key, head in heads.items() if head.floor.offset} | compacted
                begun = [_position(row, key, GENESIS) for key in sorted(keys)]
            tables.positions.add(*begun, keep=True)
            tables.handlers.rows().filter(pk=row.pk).update(ready=True)

    def positions(
        self, handlers: Iterable[HandlerId], keys: Sequence[str]
    ) -> dict[tuple[HandlerId, str], Position]:
        names = {self._ids[handler]: handler for handler in handlers}
        found: dict[tuple[HandlerId, str], Position] = {}
        step = max(1, 500 // max(1, len(names)))
        with reaching(WHAT):
            for start in range(0, len(keys), step):
                rows = positions_at(names, keys[start : start + step])
                columns = rows.values_list("handler_id", "key", "epoch", "offset", "record_id")
                for handler, key, epoch, offset, record_id in columns:
                    found[names[handler], key] = Position(epoch, offset, record_id)
        return found

    def halted(self, positions: Sequence[tuple[HandlerId, str]]) -> set[tuple[HandlerId, str]]:
        with reaching(WHAT):
            return {
                (handler, key)
                for handler, rows in self._some(positions)
                for key in rows.exclude(halted="").values_list("key", flat=True)
            }

    def _some(
        self, positions: Sequence[tuple[HandlerId, str]]
    ) -> Iterator[tuple[HandlerId, QuerySet[HandlerPosition]]]:
        """The rows of these positions, in portions of one handler."""
        keys: dict[HandlerId, list[str]] = {}
        for handler, key in positions:
            keys.setdefault(handler, []).append(key)
        for handler, some in keys.items():
            for start in range(0, len(some), 500):
                yield handler, positions_at([self._ids[handler]], some[start : start + 500])

    def _row(self, handler: HandlerId, key: str) -> QuerySet[HandlerPosition]:
        """The row of one position, if there is one."""
        return positions_at([self._ids[handler]], [key])

    # Workers ----------------------------------------------------------------------------------------------

    def renew(self, worker: str, worker_group: str, lease: float) -> list[str]:
        known = self._leases.get(worker)
        with reaching(WHAT):
            if known is None or not workers.extend(worker, worker_group, lease, known):
                workers.renew(worker, worker_group, lease, self._peer)
                if known is not None:
                    self._forgotten.add(worker)
            stored = workers.lease_of(worker)
            if stored is None:
                self._forgotten.add(worker)
            else:
                self._leases[worker] = stored
            return workers.group(worker_group)

    def forgotten(self, worker: str) -> bool:
        found = worker in self._forgotten
        self._forgotten.discard(worker)
        return found

    def held(self, worker: str) -> set[int]:
        with reaching(WHAT):
            return set(tables.positions.rows().filter(worker=worker).values_list("pk", flat=True))

    def release_idle(self, worker: str) -> None:
        with reaching(WHAT):
            tables.positions.rows().filter(worker=worker, in_flight_offset=0).update(
                worker="", fence=F("fence") + 1
            )

    def leave(self, worker: str) -> None:
        with reaching(WHAT):
            tables.positions.rows().filter(worker=worker).update(
                worker="", in_flight_offset=claiming.KEPT, fence=F("fence") + 1
            )
            tables.workers.rows().filter(id=worker).delete()

    # Positions --------------------------------------------------------------------------------------------

    def claim(
        self, handler: HandlerId, keys: Sequence[str], worker: str, idle: Mapping[str, int] = NOBODY
    ) -> dict[str, Claim | Held]:
        with reaching(WHAT):
            return claiming.claim(
                handler, self._ids[handler], keys, worker, claiming.still_idle(self._ids[handler], idle)
            )

    def borrow(self, handler: HandlerId, key: str, worker: str) -> Claim | None:
        """`claim` for a replay: also from a worker that delivers nothing at this moment. Nobody borrows it meanwhile."""
        with reaching(WHAT):
            found = claiming.claim(
                handler, self._ids[handler], [key], worker, claiming.WHATEVER_IS_IDLE, REPLAYING
            ).get(key)
        return found if isinstance(found, Claim) else None

    def ask(self, handler: HandlerId, key: str, worker: str) -> None:
        """Let whoever holds a position hand it over when the record that is being delivered is done."""
        with reaching(WHAT):
            rows = self._row(handler, key)
            rows.exclude(wanted_by__in=workers.alive().values("id")).update(wanted_by=worker)

    def no_longer_ask(self, handler: HandlerId, key: str, worker: str) -> None:
        """Take `ask` back."""
        with reaching(WHAT):
            self._row(handler, key).filter(wanted_by=worker).update(wanted_by="")

    def keep(self, claim: Claim) -> None:
        """Raise `Fenced` unless the claim is the newest; until the transaction ends it stays so."""
        with reaching(WHAT):
            changed = _held(claim).update(in_flight_offset=claim.in_flight_offset)
        _expect(claim, changed)

    def holder(self, handler: HandlerId, key: str) -> str:
        """Who holds a position, in words."""
        with reaching(WHAT):
            row = self._row(handler, key).first()
            worker = None if row is None else tables.workers.rows().filter(id=row.worker).first()
        return "A worker" if worker is None else str(worker)

    def find(self, handler: HandlerId) -> bool:
        """Whether a handler is registered. It can be claimed afterwards."""
        with reaching(WHAT):
            row = tables.handlers.rows().filter(template=handler.template, name=handler.name).first()
        if row is not None:
            self._ids[handler] = row.pk
        return row is not None

    def release(self, worker: str, positions: Sequence[tuple[HandlerId, str]]) -> None:
        with reaching(WHAT):
            for _, rows in self._some(positions):
                held_by(rows, worker).update(worker="", in_flight_offset=claiming.KEPT)

    def announce(self, claim: Claim, in_flight_offset: int) -> None:
        claim.wanted = not self._write(claim, position_sql.announce, (), in_flight_offset)
        claim.in_flight_offset = 0 if claim.wanted else in_flight_offset

    def advance(self, claim: Claim, position: Position, in_flight_offset: int) -> None:
        claim.wanted = not self._write(claim, position_sql.advance, _stored(position), in_flight_offset)
        _passed(claim, position, 0 if claim.wanted else in_flight_offset)

    def hand_on(self, claim: Claim, position: Position, other: Claim, in_flight_offset: int) -> None:
        alias, (epoch, offset, record_id) = settings.DATABASE, position
        values: dict[str, str | int] = {
            "id": claim.id,
            "worker": claim.worker,
            "fence": claim.fence,
            "epoch": epoch,
            "offset": offset,
            "record_id": record_id,
            "other": other.id,
            "other_fence": other.fence,
            "in_flight_offset": in_flight_offset,
        }
        try:
            with reaching(WHAT):
                both = execute_prepared(alias, position_sql.hand_on(alias), values) == 2
        except BackplaneUnavailable as error:
            if not contended(error):
                raise
            both = False
        if both:
            _passed(claim, position, 0)
            other.in_flight_offset = in_flight_offset
        else:
            self.advance(claim, position, 0)

    def _write(
        self, claim: Claim, sql: Callable[[str, bool], str], values: tuple[str | int, ...], in_flight_offset: int
    ) -> bool:
        """False where somebody waits for the position, so that nothing is delivered next.

        By hand: this runs once for each event, and the ORM takes longer than the database.
        """
        alias, whose = settings.DATABASE, (claim.id, claim.worker, claim.fence)
        with reaching(WHAT):
            if in_flight_offset and execute_prepared(alias, sql(alias, True), (*values, in_flight_offset, *whose)):
                return True
            _expect(claim, execute_prepared(alias, sql(alias, False), (*values, 0, *whose)))
        return not in_flight_offset

    def fail(self, claim: Claim, attempts: int, error: str, wait: float, lines: str = "") -> None:
        with reaching(WHAT):
            changed = _held(claim).update(
                attempts=attempts,
                last_error=error,
                last_traceback=lines,
                next_attempt_at=Now() + timedelta(seconds=wait),
                # That of the first failure is durable; what it may have waited for before was none.
                stuck_since=Now() if attempts and not claim.attempts else Coalesce("stuck_since", Now()),
                in_flight_offset=0,
            )
        _expect(claim, changed)
        claim.failed(attempts, error)

    def away(self, handler: HandlerId, key: str, worker: str, seconds: float, error: str) -> None:
        with reaching(WHAT):
            row = held_by(self._row(handler, key), "", worker)
            row.filter(attempts=0, halted="").update(
                last_error=f"{AWAY}{error}",
                last_traceback="",
                stuck_since=Coalesce("stuck_since", Now() - timedelta(seconds=seconds)),
            )

    def answered(self, claim: Claim) -> None:
        with reaching(WHAT):
            _held(claim).filter(attempts=0).update(last_error="", stuck_since=None)
        claim.last_error = ""

    def add_letter(self, claim: Claim, letter: Letter, in_flight_offset: int) -> None:
        with reaching(WHAT), committing("dead_letter", f"a dead letter of {claim.handler.name} on {claim.key!r}"):
            since = _held(claim).values_list("stuck_since", flat=True).first()
            self.advance(claim, letter.position, in_flight_offset)
            keep_letter(claim.handler, claim.key, letter, since if isinstance(since, datetime) else None)

    def halt(self, claim: Claim, reason: str, text: str) -> None:
        with reaching(WHAT):
            changed = _held(claim).update(
                halted=reason, halted_text=text, stuck_since=Coalesce("stuck_since", Now()), in_flight_offset=0
            )
        _expect(claim, changed)
        claim.halted, claim.halted_text, claim.in_flight_offset = reason, text, 0

    def end_of_work(self) -> None:
        connections.close_all()


def _held(claim: Claim) -> QuerySet[HandlerPosition]:
    return held_by(tables.positions.rows().filter(pk=claim.id, fence=claim.fence), claim.worker)


def _passed(claim: Claim, position: Position, in_flight_offset: int) -> None:
    claim.position, claim.in_flight_offset = position, in_flight_offset
    claim.attempts, claim.from_floor, claim.last_error, claim.first_failed = 0, False, "", None


def _expect(claim: Claim, changed: int) -> None:
    if not changed:
        raise Fenced(f"{claim.handler.name} on {claim.key!r} was taken over, or retired.")


def _position(row: EventHandler, key: str, position: Position) -> HandlerPosition:
    epoch, offset, record_id = position
    return tables.positions.new(
        handler=row,
        position_hash=hash_position(row.pk, key),
        key=key,
        epoch=epoch,
        offset=offset,
        record_id=record_id,
        from_floor=not offset,
    )


def _stored(position: Position) -> tuple[str, int, str]:
    return position.epoch, position.offset, position.record_id
