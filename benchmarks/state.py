"""What the benchmarks append and fold."""

from __future__ import annotations

from typing import Any

import msgspec

from via_state import State, StateApp, StateAppEvents, StatePresence
from via_state.live import fragment


class Tick(msgspec.Struct, frozen=True, gc=False):
    """The smallest event: a counter goes up by one."""

    def fold(self, count: int) -> int:
        return count + 1


class Record(msgspec.Struct, array_like=True, gc=False):
    """A tick as it is stored. Whatever stands beside it is passed over."""

    name: str
    version: int
    payload: Tick


class Stamped(msgspec.Struct, frozen=True, gc=False):
    """Carries when it was appended, so that a reader in another process can tell how long it took."""

    at: float  # seconds of the machine's monotonic clock, which its processes share

    def fold(self, latest: float) -> float:
        return self.at


class Bench(State):
    ticks = StateAppEvents(Tick, key="bench.ticks")
    stamps = StateAppEvents(Stamped, key="bench.stamps")
    hits = StateApp(int, key="bench.hits")
    here = StatePresence(key="bench.here")
    run = StateAppEvents(Tick, key="bench.run.{run}")
    lane = StateAppEvents(Tick, key="bench.lane.{run}.{lane}", snapshot_interval=0)
    bare = StateAppEvents(Tick, key="bench.bare.{run}", snapshot_interval=0)
    kept = StateAppEvents(Tick, key="bench.kept.{run}", compact=False)


class Order(msgspec.Struct, frozen=True):
    """A row of a table."""

    number: int
    item: str
    price: float
    late: bool = False


class Opened(msgspec.Struct, frozen=True):
    """The table begins with these rows."""

    rows: list[Order]

    def fold(self, book: list[Order]) -> list[Order]:
        return self.rows


class Late(msgspec.Struct, frozen=True):
    """One row changes."""

    number: int

    def fold(self, book: list[Order]) -> list[Order]:
        row = msgspec.structs.replace(book[self.number], late=True)
        return [*book[: self.number], row, *book[self.number + 1 :]]


class Orders(State):
    book = StateAppEvents(Opened, Late, key="bench.orders")


@fragment("bench/table.html", shared=True)
def table() -> dict[str, Any]:
    return {"orders": Orders.book.read()}


# Autodiscovery finds what these declare, in every process.
from benchmarks import handlers  # noqa: E402, F401
from testproject.counter import state  # noqa: E402, F401
