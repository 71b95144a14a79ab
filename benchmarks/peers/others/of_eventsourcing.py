"""eventsourcing over PostgreSQL: an application whose aggregate counts."""

from __future__ import annotations

import os
import time

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.peers.callers import per_second
from benchmarks.peers.others.jobs import DATABASE, serve
from benchmarks.peers.sizes import CALLERS, PACK, REPLAY

with open(os.environ["PGPASSFILE"]) as passfile:
    PASSWORD = passfile.read().strip().rpartition(":")[2]
SETTINGS = {
    "PERSISTENCE_MODULE": "eventsourcing.postgres",
    "POSTGRES_DBNAME": DATABASE["dbname"],
    "POSTGRES_HOST": DATABASE["host"],
    "POSTGRES_PORT": DATABASE["port"],
    "POSTGRES_USER": DATABASE["user"],
    "POSTGRES_PASSWORD": PASSWORD,
    "POSTGRES_POOL_SIZE": str(CALLERS),
    "POSTGRES_ENABLE_DB_FUNCTIONS": "yes",  # one round trip for an append
}


class Counter(Aggregate):
    def __init__(self) -> None:
        self.count = 0

    @event("Ticked")
    def tick(self) -> None:
        self.count += 1


application: Application = Application(env=SETTINGS)


def append(callers: int) -> float:
    """Events a second, each saved alone, to an aggregate of each caller's own that is in memory."""
    counters = [Counter() for _ in range(callers)]
    for counter in counters:
        application.save(counter)

    def save(counter: Counter) -> None:
        counter.tick()
        application.save(counter)

    return per_second([lambda counter=counter: save(counter) for counter in counters])  # type: ignore[misc]


def replay() -> float:
    """Events a second of an aggregate that is read from its first event."""
    counter = Counter()
    application.save(counter)
    for _ in range(REPLAY // PACK):
        for _ in range(PACK):
            counter.tick()
        application.save(counter)
    started = time.perf_counter()
    again: Counter = application.repository.get(counter.id)
    assert again.count == REPLAY
    return REPLAY / (time.perf_counter() - started)


def main() -> None:
    serve("eventsourcing", {"append": lambda: append(1), "append-many": lambda: append(CALLERS), "replay": replay})
