"""Running event handlers for a test: on its thread, in its transaction, one record after the other, when it asks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import connections

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.memory.positions import MemoryPositions
from via_state.bookkeeping.positions import Claim, HandlerId
from via_state.core.cursor import CursorCheck, check_cursor
from via_state.core.delivery import Record, records_after
from via_state.core.specs import LogSpec
from via_state.declarations.catalog import handled_logs
from via_state.exceptions import BackplaneUnavailable
from via_state.handlers.declaration import HandlerSpec
from via_state.handlers.delivering import Deliverer, Result
from via_state.pod.default import current_pod
from via_state.pod.pod import Pod

#: Records that one `drain` hands over at most: more are a handler that appends to its own log for ever.
MOST = 10_000
WORKER = "drain"


def drain(pod: Pod | None = None) -> None:
    """Run all event handlers, here and now, until none of them has anything to do.

    Before and after each handler everything appended is folded, and everything committed to the outbox is relayed. Handlers run
    on the calling thread, so they see the transaction of a ``TestCase``, and what they write is rolled back with it. What they
    leave for the commit (``on_commit``, `append_on_commit`) runs when they are done: in production they commit then.

    Raises what a handler raised; the next `drain` tries that record again, with ``attempt`` 2. `Poison`, and a record that its
    ``Retry`` gives up, go to ``dead_letter`` as they do in production. ``Pod.drain`` runs no handler.
    """
    pod = pod or current_pod()
    course = _courses.setdefault(pod.backplane, _Course())
    budget = itertools.count(1)
    while True:
        pod.drain()
        if not course.run(pod, budget):
            return


async def adrain(pod: Pod | None = None) -> None:
    """`drain`, awaited; handlers run on the thread of Django's database calls."""
    await sync_to_async(drain, thread_sensitive=True)(pod)


class _Course:
    """How far the handlers have come on one backplane. All of them began with its first record."""

    def __init__(self) -> None:
        self._store = MemoryPositions()

    def run(self, pod: Pod, budget: Iterator[int]) -> bool:
        """Hand over what there is; whether there was something."""
        handed = False
        logs = handled_logs()
        self._store.register(
            {HandlerId(log.spec.name, name): spec for log in logs for name, spec in log.handlers.items()}
        )
        for key in list(_keys(pod)):
            for log in logs:
                if log.reads(key):
                    for name, spec in log.handlers.items():
                        handed |= self._on(pod, HandlerId(log.spec.name, name), spec, log.spec, key, budget)
        return handed

    def _on(
        self, pod: Pod, handler: HandlerId, spec: HandlerSpec, log: LogSpec[Any], key: str, budget: Iterator[int]
    ) -> bool:
        claim = self._store.claim(handler, [key], WORKER)[key]
        assert isinstance(claim, Claim), "it was registered, and nobody else claims here"
        handed = False
        while records := _records(pod, claim, spec, log):
            for record in records:
                if next(budget) > MOST:
                    raise RuntimeError(
                        f"The event handlers have handled {MOST:,} records, and there are more. Does {handler.name!r} append to "
                        f"{key!r}, which it handles?"
                    )
                deliverer = Deliverer(self._store, spec, log, claim, [record], lambda: True)
                with _committed():
                    turn = deliverer.turn(math.inf)
                if turn.result is Result.FAILED:
                    assert deliverer.error is not None
                    raise deliverer.error
                if turn.result is Result.BLOCKED:
                    return handed
                handed = True
        return handed


_courses: WeakKeyDictionary[Backplane, _Course] = WeakKeyDictionary()


def _keys(pod: Pod) -> Iterator[str]:
    after = ""
    while page := pod.thread.call(pod.backplane.logs(after)):
        yield from page
        after = list(page)[-1]


def _records(pod: Pod, claim: Claim, spec: HandlerSpec, log: LogSpec[Any]) -> list[Record]:
    batch = pod.thread.call(pod.backplane.read(claim.key, claim.position))
    check = check_cursor(claim.position, batch, True)
    if check is CursorCheck.FROM_FLOOR:
        claim.position = batch.floor
    elif check is CursorCheck.UNPROVEN:
        raise BackplaneUnavailable(f"Only a replica answered for {claim.key!r}; its leader must.")
    elif check is not CursorCheck.CONTINUES:
        raise RuntimeError(
            f"A worker would halt {claim.handler.name!r} on {claim.key!r}: records that it has had, or should have had, are gone."
        )
    return list(records_after(batch, claim.position, log.events, spec.events))


@contextmanager
def _committed() -> Iterator[None]:
    """What is left for the commit of a transaction around this one runs at the end, as if it were committed."""
    before = {one.alias: len(one.run_on_commit) for one in connections.all(initialized_only=True)}
    try:
        yield
    finally:
        for one in connections.all(initialized_only=True):
            mine = before.get(one.alias, 0)
            while len(one.run_on_commit) > mine:
                one.run_on_commit.pop(mine)[1]()
