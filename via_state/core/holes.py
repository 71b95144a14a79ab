"""Records that are gone although nothing discarded them, where offsets have no gaps."""

from __future__ import annotations

from collections.abc import Sequence

from via_state.core.records import Pack


def before_hole(packs: Sequence[Pack], start: int) -> Sequence[Pack]:
    """The packs that follow ``start`` densely: all of them, unless records are missing."""
    expected = start + 1
    for index, pack in enumerate(packs):
        if pack.first > expected:
            return packs[:index]
        expected = pack.last + 1
    return packs
