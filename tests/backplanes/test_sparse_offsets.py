"""The contract holds where offsets have gaps: dense inside a pack, and not between packs."""

from __future__ import annotations

from tests.backplanes import test_memory
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.core.records import GENESIS
from via_state.testing.conformance.harness import append

#: Offsets between the beginnings of two packs, as where an offset is the sequence of a message and an index in it.
STRIDE = 1024


class SparseBackplane(MemoryBackplane):
    """Memory, with a pack at each multiple of `STRIDE`."""

    max_append_records = STRIDE

    def _following(self, offset: int) -> int:
        return (offset // STRIDE + 1) * STRIDE


class TestSparseOffsets(test_memory.TestMemoryBackplane):
    def make(self) -> Backplane:
        return SparseBackplane({})

    async def test_there_are_gaps(self) -> None:
        async with self.one() as plane:
            await plane.append("log", "0" * 32, 5, b"five")
            await append(plane, "log", b"x")
            packs = (await plane.read("log", GENESIS)).packs
            assert [(pack.first, pack.last) for pack in packs] == [(1024, 1028), (2048, 2048)]
