"""Reads that wait for what their visitor wrote a moment ago, on whichever pod that was."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar, cast

from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.core.specs import CellSpec, LogSpec
from via_state.exceptions import ViaStateError
from via_state.pod.reading.tracked_reads import Steps, Wanted, read_hook

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
            return cast(T, (yield wait))
        if may_wait and (wanted := self._wait(reads, key, spec)) is not None:
            with self._timed(), suppress(ViaStateError):
                yield wanted
        shown = reads.loaded(key, spec)
        return cast(T, ((yield reads.shown(key, spec)) if shown is None else shown).value)

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
