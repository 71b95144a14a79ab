"""What a live place of a page shows, of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from via_state.core.records import Revision
from via_state.core.specs import CellSpec, LogSpec
from via_state.core.visibility import Shown
from via_state.live.protocol.frames import Why
from via_state.live.protocol.vector import Place, Vector


class Watched(NamedTuple):
    """State that a node follows: where it is stored, and what it is."""

    key: str
    spec: LogSpec[Any] | CellSpec[Any]


class Content(NamedTuple):
    """What a render gives.

    ``body`` is the text, the value of the attribute (None: no attribute), or the HTML of the block. ``at`` and ``watched`` have the same
    keys: the names of the state that was read. ``halted``: some of it can't be followed for now.
    """

    body: str | None
    at: Vector
    watched: Mapping[str, Watched]
    halted: bool = False


def place(spec: LogSpec[Any] | CellSpec[Any], shown: Shown[Any]) -> Place:
    """Where state was when it was shown, as pages carry it."""
    position = shown.position
    if isinstance(spec, LogSpec):
        return Place.of_log(position)
    return Place.of_cell(Revision(position.offset, position.record_id) if position.offset else None)


class Gone(Exception):
    """A node that is not shown to this visitor (``denied``), or of something that is no longer there (``missing``)."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why
