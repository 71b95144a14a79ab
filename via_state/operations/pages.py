"""What pages list: of any rows of a table, those that are this project's and still count."""

from __future__ import annotations

from via_state.bookkeeping.database.halted_keys import current as current_halts
from via_state.bookkeeping.database.snapshots import DATA as SNAPSHOT_DATA
from via_state.bookkeeping.database.tables import of_handlers, ours

__all__ = ["SNAPSHOT_DATA", "current_halts", "of_handlers", "ours"]
