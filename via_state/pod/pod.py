"""A pod: what one process (or one test) knows of the shared state, and the verbs that declarations call.

Every verb has one implementation, a coroutine on the process's loop thread. The sync verb and its ``a`` twin are two
doors to it.
"""

from __future__ import annotations

import contextlib
import inspect
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from via_state import logs, origin, tracing
from via_state.backplanes.base import Backplane
from via_state.bookkeeping.books import books_of
from via_state.conf import settings
from via_state.core.offsets import Offset, Offsets
from via_state.core.records import Revision
from via_state.core.specs import CellSpec, LogSpec
from via_state.core.visibility import Shown
from via_state.exceptions import BackplaneUnavailable
from via_state.pod.halted_keys import HaltedKeys
from via_state.pod.messages import Messages
from via_state.pod.peer import PeerLease
from via_state.pod.rates import Rates
from via_state.pod.reading.cell_copy import CellCopy
from via_state.pod.reading.projector import ProjectionStatus, Projector
from via_state.pod.reading.reads import Reads
from via_state.pod.reading.reconciler import Reconciler
from via_state.pod.reading.replicas import Replicas
from via_state.pod.reading.subscribers import Subscription, latest_values, subscribe
from via_state.pod.reading.tracked_reads import athrough, read_hook, through
from via_state.pod.snapshots.snapshotter import Snapshotter
from via_state.pod.writing.appender import Appender
from via_state.pod.writing.cell_update import MISSING, WON, CellUpdate, at_hand
from via_state.pod.writing.emptying import end, reset
from via_state.pod.writing.erasures import Erasures
from via_state.pod.writing.immediate import ImmediateAppends
from via_state.pod.writing.outbox import ImmediateOutbox, Outbox, RelayedOutbox
from via_state.pod.writing.tracked_writes import tracking_writes, wrote
from via_state.runtime.loop import LoopThread, current_loop, refuse_in_event_loop
from via_state.runtime.periodic import Periodic
from via_state.runtime.pure_functions import refuse_in_pure_function
from via_state.runtime.service import Service, ServiceGroup
from via_state.runtime.worker_threads import database_threads

T = TypeVar("T")
V = TypeVar("V")

PRUNE_INTERVAL = 60.0  # seconds


class Pod:
    """Holds the projections and cell copies of one process over ``backplane``, and looks after the outbox from its start.

    ``close`` also closes the backplane, unless ``owns_backplane`` is False because several pods share it. Its attributes are its parts,
    which know nothing of each other but what they are given here.
    """

    def __init__(self, backplane: Backplane, *, owns_backplane: bool = True) -> None:
        self.pod_id = logs.pod_id = uuid.uuid4().hex[:12]
        #: Whether its end has begun: every verb raises `Closed`.
        self.closed = False
        self.backplane = backplane
        self.thread: LoopThread = current_loop()
        self._owns_backplane = owns_backplane
        self._settling: list[Callable[[], Awaitable[None]]] = []
        #: Threads for statements on ``DATABASE``.
        self.database = database_threads()
        self.books = books = books_of(backplane, self.database, self.pod_id)
        self.snapshots = Snapshotter(backplane, books.snapshots, self.pod_id)
        self._halts = HaltedKeys(self.pod_id, books.halted_keys)
        #: What runs in the background, from the first use of the pod to its end.
        self.reconciler = Reconciler(backplane)
        self.replicas = Replicas(self.reconciler, self.snapshots, self.begin)
        self._reads = Reads(self.replicas)
        appended = self.replicas.appended
        self._appender: Appender | ImmediateAppends = (
            ImmediateAppends(self.thread, backplane, appended, self.replicas.holds)
            if backplane.immediate
            else Appender(self.thread, backplane, appended)
        )
        self.outbox: Outbox = (
            RelayedOutbox(self.thread, backplane, self.pod_id, appended)
            if books.shared
            else ImmediateOutbox(self.thread, backplane, self._appender)
        )
        self.erasures = Erasures(self, books.erasures)
        self.messages = Messages(backplane)
        #: This process among the others.
        self.peer = PeerLease(self.pod_id, books.peers, self.messages, self._roles)
        self.services = ServiceGroup(
            self.reconciler,
            self.peer,
            Periodic("Pruning", self._prune, lambda: PRUNE_INTERVAL, later=True),
            Periodic("The list of halted keys", self._list_halts, lambda: settings.RECONCILE_INTERVAL),
            self.erasures,
            Rates(books.rates),
        )
        self.thread.on_stop(self._close)
        self.outbox.start()

    def _roles(self) -> set[str]:
        return {one.role for one in self.services.services if one.role}

    def begin(self) -> None:
        """Start what runs in the background. On the loop; twice is harmless."""
        self.services.begin()

    def add(self, service: Service, settle: Callable[[], Awaitable[None]]) -> None:
        """Let something run beside this pod, on its loop, until it is closed; `drain` awaits ``settle()``. From any thread."""

        async def start() -> None:
            await self.services.start()
            await self.services.add(service)

        self._settling.append(settle)
        self.thread.submit(start())

    # Logs -------------------------------------------------------------------------------------------------

    def append(self, key: str, spec: LogSpec[V], events: Sequence[object], *, wait: bool = True) -> Offsets:
        """Append events, all or none; durable when it returns, and folded where this pod projects the key."""
        refuse_in_event_loop("append", "aappend")
        with tracing.sending(spec.name, len(events)):
            data = spec.events.encode(events, origin.metadata())
            last = self._appender.append(key, data, len(events), folded=wait)
            return self._appended(key, spec, Offsets(last, len(events)))

    async def aappend(self, key: str, spec: LogSpec[V], events: Sequence[object], *, wait: bool = True) -> Offsets:
        """`append`, awaited. Cancelling it does not take an append back that was sent already."""
        with tracing.sending(spec.name, len(events)):
            data = spec.events.encode(events, await origin.ametadata())
            last = await self._appender.aappend(key, data, len(events), folded=wait)
            return self._appended(key, spec, Offsets(last, len(events)))

    def _appended(self, key: str, spec: LogSpec[V], offsets: Offsets) -> Offsets:
        if tracking_writes():
            wrote(self, key, spec, offsets[-1] if offsets else None)
        return offsets

    def append_on_commit(self, key: str, spec: LogSpec[V], events: Sequence[object]) -> None:
        """Append with the caller's database transaction, or not at all."""
        refuse_in_event_loop("append_on_commit", "aappend_on_commit")
        with tracing.sending(spec.name, len(events)):
            self.outbox.add(key, spec.events.encode(events, origin.metadata()), len(events))

    def read(
        self, key: str, spec: LogSpec[V], *, at_least: Offset | None = None, timeout: float | None = None
    ) -> V:
        """This pod's projection, O(1) once loaded. With ``at_least``: waits until that offset is folded.

        Raises `InvalidOffset`, `BackplaneRefused` (as `NotMigrated`) at once, `NotCaughtUp` after ``timeout`` seconds, `EpochChanged`,
        and `KeyHalted` when there is no good value.
        """
        refuse_in_pure_function("read")
        if at_least is not None or spec.family:
            refuse_in_event_loop("read", "aread")
        if (hook := read_hook.get()) is not None:
            wait = None if at_least is None else self._reads.log(key, spec, at_least, timeout)
            return through(hook, self, self._reads, key, spec, wait)
        if at_least is None and (projector := self.replicas.loaded_log(key)) is not None:
            return cast(V, projector.read())
        return self.thread.call(self._reads.log(key, spec, at_least, timeout))

    async def aread(
        self, key: str, spec: LogSpec[V], *, at_least: Offset | None = None, timeout: float | None = None
    ) -> V:
        """`read`, awaited."""
        if (hook := read_hook.get()) is not None:
            wait = None if at_least is None else self._reads.log(key, spec, at_least, timeout)
            return await athrough(hook, self, self._reads, key, spec, wait)
        if at_least is None and (projector := self.replicas.loaded_log(key)) is not None:
            return cast(V, projector.read())
        return await self.thread.acall(self._reads.log(key, spec, at_least, timeout))

    def status(self, key: str, spec: LogSpec[V]) -> ProjectionStatus:
        """Where the projection of this pod is, and why it is halted if it is."""
        refuse_in_event_loop("status", "astatus")
        return self.thread.call(self._reads.status(key, spec))

    async def astatus(self, key: str, spec: LogSpec[V]) -> ProjectionStatus:
        """`status`, awaited."""
        return await self.thread.acall(self._reads.status(key, spec))

    async def _log(self, key: str, spec: LogSpec[V]) -> Projector[V]:
        return self.replicas.log(key, spec)

    async def changes(self, key: str, spec: LogSpec[V]) -> AsyncGenerator[V, None]:
        """The value now, then each newer one. A slow reader misses values in between, never the newest."""
        find, load = partial(self.replicas.log, key, spec), partial(self.aread, key, spec)
        async with contextlib.aclosing(latest_values(self.thread, find, load)) as values:
            async for value in values:
                yield value

    # Cells ------------------------------------------------------------------------------------------------

    def get(
        self, key: str, spec: CellSpec[T], *, at_least: Revision | None = None, timeout: float | None = None
    ) -> T:
        """The current value, from this pod's copy; loaded on first use. With ``at_least``: waits until the copy has that revision, or a
        later one.

        Raises `NotCaughtUp` after ``timeout`` seconds, `CellUnreadable` and `CellFromNewerVersion`, `BackplaneUnavailable`.
        """
        refuse_in_pure_function("read")
        if at_least is not None or spec.family:
            refuse_in_event_loop("read", "aread")
        if (hook := read_hook.get()) is not None:
            wait = None if at_least is None else self._reads.cell(key, spec, at_least, timeout)
            return through(hook, self, self._reads, key, spec, wait)
        cell = self.replicas.loaded_cell(key)
        if cell is not None and spec.ttl is None and at_least is None:
            return cast(T, cell.value())
        return self.thread.call(self._reads.cell(key, spec, at_least, timeout))

    async def aget(
        self, key: str, spec: CellSpec[T], *, at_least: Revision | None = None, timeout: float | None = None
    ) -> T:
        """`get`, awaited."""
        if (hook := read_hook.get()) is not None:
            wait = None if at_least is None else self._reads.cell(key, spec, at_least, timeout)
            return await athrough(hook, self, self._reads, key, spec, wait)
        cell = self.replicas.loaded_cell(key)
        if cell is not None and spec.ttl is None and at_least is None:
            return cast(T, cell.value())
        return await self.thread.acall(self._reads.cell(key, spec, at_least, timeout))

    async def _cell(self, key: str, spec: CellSpec[T]) -> CellCopy[T]:
        return self.replicas.cell(key, spec)

    def update(self, key: str, spec: CellSpec[T], fn: Callable[[T], T]) -> T:
        """Replace the value by ``fn(value)``, in the caller's thread; ``fn`` runs again when another writer was first.

        What ``fn`` raises is raised unchanged, and nothing is written. Raises `UpdateContended`,
        `UpdateOutcomeUnknown`, `ValueRefused`, `ValueTooLarge`, `CellUnreadable`, `CellFromNewerVersion`, `SessionEnded`.
        """
        refuse_in_event_loop("update", "aupdate")
        with CellUpdate(self.thread, self.replicas, key, spec) as cell_update:
            if (old := cell_update.cached()) is MISSING:
                old = self.thread.call(cell_update.current())
            while old is not WON:
                value = at_hand(key, fn(old))
                old = self.thread.call(cell_update.offer(value))
            wrote(self, key, spec, cell_update.revision)
            return value

    async def aupdate(self, key: str, spec: CellSpec[T], fn: Callable[[T], T | Awaitable[T]]) -> T:
        """`update`, awaited; ``fn`` runs in the caller's task and may be an async function."""
        with CellUpdate(self.thread, self.replicas, key, spec) as cell_update:
            if (old := cell_update.cached()) is MISSING:
                old = await self.thread.acall(cell_update.current())
            while old is not WON:
                answer = fn(old)
                value = cast(T, await answer if inspect.isawaitable(answer) else answer)
                old = await self.thread.acall(cell_update.offer(value))
            wrote(self, key, spec, cell_update.revision)
            return value

    def set(self, key: str, spec: CellSpec[T], value: T) -> T:
        """Replace the value, whatever it is."""
        refuse_in_event_loop("set", "aset")
        return self.update(key, spec, lambda _: value)

    async def aset(self, key: str, spec: CellSpec[T], value: T) -> T:
        """`set`, awaited."""
        return await self.aupdate(key, spec, lambda _: value)

    def reset(self, key: str, spec: CellSpec[T], *, force: bool = False) -> None:
        """Remove the stored value, so that the initial value shows. ``force`` also removes one that can't be read."""
        refuse_in_event_loop("reset", "areset")
        wrote(self, key, spec, self.thread.call(reset(self.replicas, key, spec, force)))

    async def areset(self, key: str, spec: CellSpec[T], *, force: bool = False) -> None:
        """`reset`, awaited."""
        wrote(self, key, spec, await self.thread.acall(reset(self.replicas, key, spec, force)))

    def end(self, key: str, spec: CellSpec[T]) -> None:
        """Leave a tombstone in place of the value: reads give the initial value, writes raise `SessionEnded`."""
        refuse_in_event_loop("end", "aend")
        wrote(self, key, spec, self.thread.call(end(self.replicas, key, spec)))

    async def aend(self, key: str, spec: CellSpec[T]) -> None:
        """`end`, awaited."""
        wrote(self, key, spec, await self.thread.acall(end(self.replicas, key, spec)))

    async def cell_changes(self, key: str, spec: CellSpec[T]) -> AsyncGenerator[T, None]:
        """The value now, then each newer one. A slow reader misses values in between, never the newest."""
        find, load = partial(self.replicas.cell, key, spec), partial(self.aget, key, spec)
        async with contextlib.aclosing(latest_values(self.thread, find, load)) as values:
            async for value in values:
                yield value

    # Both -------------------------------------------------------------------------------------------------

    def shown(self, key: str, spec: LogSpec[T] | CellSpec[T]) -> Shown[T]:
        """Value, position and what halts it, of one moment, O(1) once loaded. A cell's position is its revision's number and write id.

        Raises what `read` and `get` raise.
        """
        if (loaded := self._reads.loaded(key, spec)) is not None:
            return loaded
        refuse_in_event_loop("shown", "ashown")
        return self.thread.call(self._reads.shown(key, spec))

    async def ashown(self, key: str, spec: LogSpec[T] | CellSpec[T]) -> Shown[T]:
        """`shown`, awaited."""
        if (loaded := self._reads.loaded(key, spec)) is not None:
            return loaded
        return await self.thread.acall(self._reads.shown(key, spec))

    async def alook(self, key: str, spec: LogSpec[T] | CellSpec[T]) -> None:
        """Wait, however long, until this pod has what the store has now, or newer. Raises where the key can't be followed."""
        await self.thread.acall(self._reads.look(key, spec))

    async def subscribe(
        self, key: str, spec: LogSpec[Any] | CellSpec[Any], callback: Callable[[], None]
    ) -> Subscription:
        """Have ``callback()`` called on the running event loop, soon after each change of the key on this pod, until `Subscription.close`.

        Changes in quick succession are one call. All subscribers of a key on one loop cost one wake-up of that loop.
        """
        find: Callable[[], Projector[Any] | CellCopy[Any]] = (
            partial(self.replicas.log, key, spec)
            if isinstance(spec, LogSpec)
            else partial(self.replicas.cell, key, spec)
        )
        subscription, _ = await subscribe(self.thread, find, callback)
        return subscription

    def drain(self) -> None:
        """Wait until what was committed is relayed and what was rung is folded. For tests."""
        refuse_in_event_loop("drain", "adrain")
        self.thread.call(self._drain())

    async def adrain(self) -> None:
        """`drain`, awaited."""
        await self.thread.acall(self._drain())

    async def _drain(self) -> None:
        await self.outbox.settle()
        await self.erasures.settle()
        await self.replicas.settle()
        for settle in self._settling:
            await settle()

    def close(self) -> None:
        """Let appends in flight finish, stop projectors, close the backplane. Closing twice is harmless."""
        refuse_in_event_loop("close", "aclose")
        if self.thread.alive:
            self.thread.call(self._close())

    close.alters_data = True  # type: ignore[attr-defined]  # not for templates

    async def aclose(self) -> None:
        """`close`, awaited."""
        if self.thread.alive:
            await self.thread.acall(self._close())

    async def disconnected(self) -> None:
        """After `close`: wait until its threads have ended, and with them their connections to the database."""
        await self.database.close()

    async def _list_halts(self) -> None:
        await self._halts.update(self.replicas.troubled())

    async def _prune(self) -> None:
        await self.backplane.prune()

    async def _close(self) -> None:
        self.closed = True
        self.thread.forget(self._close)
        await self.messages.close()
        await self.services.drain()
        await self.outbox.close()
        await self._appender.close()
        await self.replicas.close()
        await self.services.stop()
        with contextlib.suppress(BackplaneUnavailable):  # its rows have a lease, too
            await self._halts.update(())
        await self.database.close(0)  # what runs there is not waited for
        if self._owns_backplane:
            await self.backplane.close()
