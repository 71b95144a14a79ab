"""What readers see of a projection while it folds, begins from a snapshot, starts over, or is halted: a state machine without I/O.

Until the projection was whole for the first time there is nothing to hand out. From then on readers always have a value which
was the fold of a whole history: while another history is folded from its beginning, or a snapshot waits for its proof, they
keep the last one.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from via_state.core.projection import Action, Projection
from via_state.core.records import GENESIS, Position

V = TypeVar("V")


class Shown(NamedTuple, Generic[V]):
    """What readers have of one key, all of one moment. It is replaced as a whole, so any thread may take it.

    ``value`` is the fold up to ``position``, or what a cell holds at that revision. ``halted`` says why newer records, or a newer
    value, can't be shown; it is None where nothing stands in the way.
    """

    value: V
    position: Position = GENESIS
    halted: str | None = None


class Visibility(Generic[V]):
    """``shown`` is what readers have. `publish` follows each batch that was fed to the projection."""

    __slots__ = ("loaded", "rebuilding", "shown")

    def __init__(self, value: V) -> None:
        self.shown: Shown[V] = Shown(value)
        #: Whether ``shown`` may be handed out: the head was reached once, or the key was halted with a good value.
        self.loaded = False
        #: Whether the projection holds what readers must not see yet.
        self.rebuilding = False

    def restored(self) -> None:
        """The projection continues from a snapshot, which the next batch has yet to prove."""
        self.rebuilding = True

    def publish(self, action: Action, projection: Projection[V]) -> bool:
        """Take over what may be seen. Whether readers must be told: of another value, position or halt."""
        halted = action is Action.HALTED
        # A halt ends a rebuild only where something was folded and nothing before it is lacking.
        unfinished = action is Action.ADVANCED or (halted and not projection.whole)
        self.rebuilding = action is Action.RESET or (self.rebuilding and unfinished)
        before = self.shown
        halt = None if projection.halt is None else str(projection.halt)
        if self.rebuilding:
            self.shown = before._replace(halted=halt)
        else:
            self.shown = Shown(projection.value, projection.position, halt)
            self.loaded = self.loaded or action is Action.AT_HEAD or (halted and projection.position.offset > 0)
        now = self.shown
        return now.value is not before.value or now[1:] != before[1:]

    def holds(self, epoch: str, offset: int) -> bool:
        """Whether what readers see has the record at ``offset`` of ``epoch`` in it."""
        position = self.shown.position
        return not self.rebuilding and position.epoch == epoch and position.offset >= offset
