"""Calls of the backplane, added up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated

from via_state.telemetry.event import Event
from via_state.telemetry.flushing import at_flush


class BackplaneCalled(Event, frozen=True, gc=False):
    """Calls of one verb of a backplane that asks a server ended, since the last of these events. ``outcome``: "ok", also for what a verb may answer, such
    as a conflict; "unavailable", nothing was done; "unknown", a write may have been done; "refused", it may not be asked so.
    """

    verb: str
    outcome: str
    seconds: Annotated[Sequence[float], "seconds of each call"]


_calls: defaultdict[tuple[str, str], list[float]] = defaultdict(list)


def called(verb: str, outcome: str, seconds: float) -> None:
    """A call ended."""
    _calls[verb, outcome].append(seconds)


@at_flush
def _tell() -> None:
    for (verb, outcome), seconds in list(_calls.items()):
        if taken := seconds[:]:
            del seconds[: len(taken)]  # calls that end meanwhile are told next time
            BackplaneCalled(verb, outcome, taken).emit()
