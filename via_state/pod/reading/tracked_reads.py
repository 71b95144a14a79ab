"""What a block of code reads: each key with its position, and the same value however often it is read."""

from __future__ import annotations

import math
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from via_state.core.specs import CellSpec, LogSpec
from via_state.core.visibility import Shown
from via_state.exceptions import NotFollowed
from via_state.runtime.loop import in_event_loop

if TYPE_CHECKING:
    from via_state.pod.pod import Pod
    from via_state.pod.reading.reads import Reads

T = TypeVar("T")

#: What is to be awaited on the pod's loop.
Wanted: TypeAlias = Coroutine[Any, Any, T]
#: A read on its way: it yields what is to be awaited, is sent the answer, and returns the value.
Steps: TypeAlias = Generator[Wanted[Any], Any, T]


class TrackedRead(NamedTuple):
    """What was read under one key, at the first time."""

    spec: LogSpec[Any] | CellSpec[Any]
    shown: Shown[Any]


class TrackedReads:
    """The reads of one block of code, in the order of their first times.

    Between two reads of a key nothing moves for the block: it gets the value of the first one again. A read with ``at_least``
    gets what it asks for; where the key was read before, the position stays that of the first read, so that a block is never
    said to be newer than any part of it.
    """

    def __init__(self, outer: ReadHook | None = None, most: float = math.inf) -> None:
        """``outer``: who is asked at the first read of a key. ``most``: how many keys of a pod may be read."""
        self._outer = outer
        self._most = most
        self._reads: dict[Pod, dict[str, TrackedRead]] = {}

    def of(self, pod: Pod) -> dict[str, TrackedRead]:
        """What was read of this pod, by wire key."""
        return dict(self._reads.get(pod, ()))

    def steps(
        self,
        pod: Pod,
        reads: Reads,
        key: str,
        spec: LogSpec[T] | CellSpec[T],
        wait: Wanted[T] | None,
        may_wait: bool,
    ) -> Steps[T]:
        """See `ReadHook.steps`."""
        if wait is not None:
            yield wait
        elif (read := self._reads.get(pod, {}).get(key)) is not None:
            return cast(T, read.shown.value)
        elif self._outer is not None:
            yield from self._outer.steps(pod, reads, key, spec, None, may_wait)
        shown = reads.loaded(key, spec)
        if shown is None:
            shown = cast("Shown[T]", (yield reads.shown(key, spec)))
        return self._noted(pod, key, spec, shown, wait is None)

    def _noted(self, pod: Pod, key: str, spec: LogSpec[T] | CellSpec[T], shown: Shown[T], pinned: bool) -> T:
        known = self._reads.setdefault(pod, {})
        if len(known) >= self._most and key not in known:
            raise NotFollowed(
                f"More than {self._most} keys of state are read here, the last one of {spec.name!r}. Render less in one live block, or keep "
                "what belongs together under one key."
            )
        first = known.setdefault(key, TrackedRead(spec, shown)).shown
        return cast(T, first.value) if pinned else shown.value


class ReadHook(Protocol):
    """What stands between the verbs that read and the pod, in one context."""

    def steps(
        self,
        pod: Pod,
        reads: Reads,
        key: str,
        spec: LogSpec[T] | CellSpec[T],
        wait: Wanted[T] | None,
        may_wait: bool,
    ) -> Steps[T]:
        """What a verb of the pod gives, and on the way there what is to be awaited on the pod's loop.

        ``wait`` is what a read with ``at_least`` waits for. Without ``may_wait`` the caller is a sync one on an event loop.
        """


def through(
    hook: ReadHook, pod: Pod, reads: Reads, key: str, spec: LogSpec[T] | CellSpec[T], wait: Wanted[T] | None
) -> T:
    """The sync door."""
    steps = hook.steps(pod, reads, key, spec, wait, not in_event_loop())
    step, answer = steps.send, None
    while True:
        try:
            wanted = step(answer)
        except StopIteration as end:
            return cast(T, end.value)
        try:
            step, answer = steps.send, pod.thread.call(wanted)
        except BaseException as error:
            step, answer = steps.throw, error


async def athrough(
    hook: ReadHook, pod: Pod, reads: Reads, key: str, spec: LogSpec[T] | CellSpec[T], wait: Wanted[T] | None
) -> T:
    """The async door."""
    steps = hook.steps(pod, reads, key, spec, wait, True)
    step, answer = steps.send, None
    while True:
        try:
            wanted = step(answer)
        except StopIteration as end:
            return cast(T, end.value)
        try:
            step, answer = steps.send, await pod.thread.acall(wanted)
        except BaseException as error:
            step, answer = steps.throw, error


#: None where nobody asks: that is all that it costs then.
read_hook: ContextVar[ReadHook | None] = ContextVar("via_state_read_hook", default=None)


@contextmanager
def track_reads(most: float = math.inf) -> Iterator[TrackedReads]:
    """Within the block, and in the tasks and threads that it starts with its context, reads are noted and stay as they are.

    Reading more than ``most`` keys raises `NotFollowed`.

    A block inside another one has reads of its own, and the outer one does not learn of them.
    """
    outer = read_hook.get()
    reads = TrackedReads(None if isinstance(outer, TrackedReads) else outer, most)
    token = read_hook.set(reads)
    try:
        yield reads
    finally:
        read_hook.reset(token)
