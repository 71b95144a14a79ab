"""Workers that come and go over one log and one store of positions: in memory, or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from django.test import override_settings

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.pod.world import World
from via_state import State, StateAppEvents
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.memory.positions import MemoryPositions
from via_state.bookkeeping.positions import HandlerId, PositionStore
from via_state.core.records import LogBounds
from via_state.core.specs import LogSpec
from via_state.declarations.catalog import handled_logs
from via_state.declarations.registry import registry
from via_state.handlers.worker import Worker
from via_state.pod.pod import Pod
from via_state.pod.reading.reconciler import Reconciler

LEASE = 1.0


@dataclass(frozen=True, slots=True)
class Placed:
    """An order."""

    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [*numbers, self.number]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An order that is not wanted any more."""

    number: int

    def fold(self, numbers: list[int]) -> list[int]:
        return [one for one in numbers if one != self.number]


class Shop:
    """A project with one log, one family, a pod to append with, and workers."""

    def __init__(self, kind: str) -> None:
        self.world = World(kind)
        self.kind = kind
        self.stores: list[PositionStore] = []
        self.memory = MemoryPositions()
        self.pod: Pod = self.world.start()
        self._workers: list[Worker] = []
        self._killed: list[Worker] = []
        self._reconcilers: dict[str, Reconciler] = {}

        class Orders(State):
            log = StateAppEvents(Placed, Cancelled, key="orders")
            shelf = StateAppEvents(Placed, Cancelled, key="shelf.{shelf}")

        self._logs: Any = (Orders.log, Orders.shelf)

    def orders(self) -> StateAppEvents[Placed | Cancelled]:
        return self._logs[0]  # type: ignore[no-any-return]

    def shelf(self) -> StateAppEvents[Placed | Cancelled]:
        return self._logs[1]  # type: ignore[no-any-return]

    def log(self) -> StateAppEvents[Placed | Cancelled]:
        return self.orders().using(self.pod)

    def place(self, *numbers: int, shelf: int | None = None) -> list[int]:
        """Append orders; their offsets."""
        log = self.log() if shelf is None else self.shelf().using(self.pod).at(shelf=shelf)
        return [log.append(Placed(number), wait=False) for number in numbers]

    def work(self, *handlers: str, **options: Any) -> Worker:
        """A new worker, as a process that starts, of all handlers or of these."""
        store = self.memory if self.kind == "memory" else RowPositions()
        reconciler = Reconciler(self.world.plane)
        worker = Worker(reconciler, store, handled_logs(handlers), **options)
        self.world.run(reconciler.start())
        self.world.run(worker.start())
        self._workers.append(worker)
        self._reconcilers[worker.id] = reconciler
        return worker

    def stop(self, worker: Worker) -> None:
        self._workers.remove(worker)
        self.world.run(worker.stop())
        self.world.run(self._reconcilers.pop(worker.id).stop())

    def kill(self, worker: Worker) -> None:
        """It does nothing any more, and says nothing."""
        self._workers.remove(worker)
        self._killed.append(worker)
        self.world.run(_freeze(worker))
        self.world.run(self._reconcilers.pop(worker.id).stop())

    def settle(self, worker: Worker) -> None:
        self.world.run(worker.settle())

    def raw(self, key: str, data: bytes, count: int = 1) -> None:
        """Append what this code would not."""
        import uuid

        self.world.run(self.world.inner.append(key, uuid.uuid4().hex, count, data))

    def head(self, key: str) -> LogBounds:
        return self.world.run(self.world.inner.head(key))  # type: ignore[no-any-return]

    def spec(self) -> LogSpec[Any]:
        return self.orders().definition.spec()

    def close(self) -> None:
        for worker in list(self._workers):
            self.stop(worker)
        for worker in self._killed:
            self.world.run(_disconnect(worker))
        self.world.close()


async def _freeze(worker: Worker) -> None:
    worker.stopping = True
    worker.schedule.close()
    await worker._lease.ended()
    await worker._housekeeping.stop()
    for runner in worker._runners.values():
        if runner.task is not None:
            runner.task.cancel()
        runner.stop()


async def _disconnect(worker: Worker) -> None:
    """What is left of a killed one: its threads would keep their sessions, and the test database could not be removed."""
    for threads in (worker.threads, worker._control, worker._claiming):
        await threads.close()


@contextmanager
def shop_of(kind: str, **options: Any) -> Iterator[Shop]:
    with ExitStack() as stack:
        stack.enter_context(registry.isolated())
        shop = Shop(kind)
        stack.enter_context(
            override_settings(
                VIA_STATE={
                    "DATABASE": POSTGRES_ALIAS,
                    "PREFIX": shop.world.prefix,
                    "HANDLER_LEASE": LEASE,
                    "RECONCILE_INTERVAL": 0.1,
                    **options,
                }
            )
        )
        stack.callback(shop.close)
        yield shop


def until(condition: Callable[[], bool], what: str = "the deliveries") -> None:
    wait_until(condition, what, pause=0.005)


def handler_id(shop: Shop, name: str, log: str = "orders") -> HandlerId:
    return HandlerId(log, name)
