"""A batch in parts, so that whoever folds it can give others a turn in between."""

from __future__ import annotations

from via_state.core.records import Batch


class Portions:
    """Takes a batch apart. Each part is a batch for whoever has folded the one before: the record at its end proves that nothing is between."""

    def __init__(self, batch: Batch) -> None:
        self._batch, self._next = batch, 0

    def take(self, records: int) -> Batch:
        """The next part, of about ``records`` records, and one pack at least. The first one of an empty batch is empty."""
        batch, first = self._batch, self._next
        if first:
            before = batch.packs[first - 1]
            batch = batch._replace(cursor_id=before.record_id(before.last))
        after, count = first, 0
        while after < len(batch.packs) and (after == first or count + batch.packs[after].count <= records):
            count += batch.packs[after].count
            after += 1
        self._next = after
        return batch if after - first == len(batch.packs) else batch._replace(packs=batch.packs[first:after])

    @property
    def left(self) -> bool:
        """Whether there is one more part."""
        return self._next < len(self._batch.packs)
