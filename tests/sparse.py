"""A backplane whose offsets have gaps, as those of a server that numbers its messages have."""

from __future__ import annotations

from via_state.backplanes.memory import MemoryBackplane
from via_state.core.records import LogBounds

STRIDE = 1024


class SparseBackplane(MemoryBackplane):
    """Each pack begins at a multiple of `STRIDE`."""

    dense = False
    max_append_records = STRIDE

    def _first_offset(self, last: int) -> int:
        return (last // STRIDE + 1) * STRIDE

    async def count(self, key: str, after: int, head: LogBounds) -> int:
        start, end = max(after, head.floor.offset), head.position.offset
        packs = self._logs[key].packs if key in self._logs else []
        return sum(start < offset <= end for pack in packs for offset in range(pack.first, pack.last + 1))
