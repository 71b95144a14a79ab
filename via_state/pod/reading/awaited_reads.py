"""Reads that wait for what their visitor wrote a moment ago, on whichever pod that was."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.core.specs import CellSpec, LogSpec
from via_state.exceptions import ViaStateError
from via_state.pod.reading.tracked_reads import read_hook
from via_state.runtime.loop import in_event_loop

if TYPE_CHECKING:
    from via_state.pod.pod import Pod
    from via_state.pod.reading.reads import Reads

T = TypeVar("T")


def digest_of(key: str) -> str:
    """Sixteen hexadecimal digits that stand for a wire key, which may name its owner."""
    return blake2b(key.encode(), digest_size=8).hexdigest()


class AwaitedReads:
    """The first read of each of these keys waits, all of them together for ``seconds`` at most. Then what is there is shown."""

    def __init__(self, wanted: Mapping[str, Offset | Revision], seconds: float) -> None:
        self._wanted = dict(wanted)
        #: Of these, what was read, by wire key.
        self.met: dict[str, Offset | Revision] = {}
        self._left = seconds

    def read(
        self,
        pod: Pod,
        reads: Reads,
        key: str,
        spec: LogSpec[T] | CellSpec[T],
        wait: Coroutine[Any, Any, T] | None,
    ) -> T:
        """What a verb of the pod gives. ``wait`` is what a read with ``at_least`` waits for."""
        if wait is not None:
            return pod.thread.call(wait)
        if not in_event_loop() and (wanted := self._wait(reads, key, spec)) is not None:
            with self._timed(), suppress(ViaStateError):
                pod.thread.call(wanted)
        shown = reads.loaded(key, spec)
        return (pod.thread.call(reads.shown(key, spec)) if shown is None else shown).value

    async def aread(
        self,
        pod: Pod,
        reads: Reads,
        key: str,
        spec: LogSpec[T] | CellSpec[T],
        wait: Coroutine[Any, Any, T] | None,
    ) -> T:
        """`read`, awaited."""
        if wait is not None:
            return await pod.thread.acall(wait)
        if (wanted := self._wait(reads, key, spec)) is not None:
            with self._timed(), suppress(ViaStateError):
                await pod.thread.acall(wanted)
        return (await pod.ashown(key, spec)).value

    def _wait(self, reads: Reads, key: str, spec: LogSpec[T] | CellSpec[T]) -> Coroutine[Any, Any, T] | None:
        """What to wait for before this key is read; None where there is nothing, or no time left."""
        at = self._wanted.pop(digest_of(key), None) if self._wanted else None
        if at is not None:
            self.met[key] = at
        if self._left <= 0:
            return None
        if isinstance(spec, LogSpec):
            return reads.log(key, spec, at, self._left) if isinstance(at, Offset) else None
        return reads.cell(key, spec, at, self._left) if isinstance(at, Revision) else None

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._left -= time.monotonic() - began


@contextmanager
def await_reads(wanted: Mapping[str, Offset | Revision], seconds: float) -> Iterator[AwaitedReads]:
    """Within the block, and in the tasks and threads that it starts with its context, reads wait for these positions, by `digest_of` a key."""
    reads = AwaitedReads(wanted, seconds)
    token = read_hook.set(reads) if wanted else None
    try:
        yield reads
    finally:
        if token is not None:
            read_hook.reset(token)
