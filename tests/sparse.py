"""A backplane whose offsets have gaps, as those of a server that numbers its messages have."""

from __future__ import annotations

from via_state.backplanes.memory import MemoryBackplane

STRIDE = 1024


class SparseBackplane(MemoryBackplane):
    """Each pack begins at a multiple of `STRIDE`."""

    max_append_records = STRIDE

    def _first_offset(self, last: int) -> int:
        return (last // STRIDE + 1) * STRIDE
