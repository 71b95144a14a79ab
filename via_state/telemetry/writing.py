"""Appends, updates and reads."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from via_state.telemetry.event import Count, Event, Events, Seconds
from via_state.telemetry.flushing import at_flush


class Appended(Event, frozen=True, gc=False):
    """The backplane acknowledged appends of this process to a key, since the last of these events. ``seconds``: of each call that travelled in
    them, from the call to the answer.
    """

    key: str
    events: Annotated[Sequence[int], "events of each call of the backplane"]
    seconds: Annotated[Sequence[float], "seconds of each call"]


#: So many appends, and what is known of them is told before the second is over.
MOST = 1000
_appends: deque[tuple[str, int, Sequence[float]]] = deque()


def appended(key: str, events: int, seconds: Sequence[float]) -> None:
    """The backplane acknowledged an append. From any thread, also in a signal's handler."""
    _appends.append((key, events, seconds))
    if len(_appends) >= MOST:
        _tell()


def _tell() -> None:
    found: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    with suppress(IndexError):
        while True:
            key, events, seconds = _appends.popleft()
            groups, taken = found[key]
            groups.append(events)
            taken.extend(seconds)
    for key, (groups, taken) in found.items():
        Appended(key, groups, taken).emit()


at_flush(_tell)


class Relayed(Event, frozen=True, gc=False):
    """Events that waited in the outbox are in their log."""

    key: str
    events: Events


class OutboxCounted(Event, frozen=True, gc=False):
    """This process looked at the outbox. ``oldest``: age of the record that waits longest. ``aside``: records that wait for a person."""

    waiting: Count
    oldest: Seconds
    aside: Count


class AppendsWaiting(Event, frozen=True, gc=False):
    """By how much the number of calls of append changed that wait for the backplane."""

    change: Count


class AppendFailed(Event, frozen=True, gc=False):
    """So many calls of append get an error. ``reason``: "unavailable", nothing was written; "unknown", it may have been; "too_large";
    "refused".
    """

    reason: str
    calls: Count


class UpdateEnded(Event, frozen=True, gc=False):
    """A call of update, or set, ended. ``seconds``: with all rounds. ``outcome``: "ok"; "contended", it was given up."""

    key: str
    template: str
    seconds: Seconds
    outcome: str


class ReadWaited(Event, frozen=True, gc=False):
    """A read with at_least ended. ``outcome``: "caught_up", "timeout", "epoch" (the log was rewritten), "halted"."""

    key: str
    template: str
    outcome: str


class UpdateContended(Event, frozen=True, gc=False):
    """A round of compare-and-swap was lost to another writer."""

    key: str
    template: str


class AfterCommitFailed(Event, frozen=True, gc=False):
    """An on_commit hook raised after a commit. ``what`` was committed: "handler", "replay", "append_on_commit" and so on."""

    what: str


class SessionEndFailed(Event, frozen=True, gc=False):
    """The state of a session was not ended with it, or not in time."""


class ErasureFailed(Event, frozen=True, gc=False):
    """The state of a deleted owner could not be erased; where that was noted, it is tried again."""
