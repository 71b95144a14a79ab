"""What a person may do with dead letters: replay them, or discard them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from via_state.models import DeadLetter
from via_state.operations.dead_letters import discard
from via_state.operations.handlers import declared
from via_state.operations.replay import replay

#: Records in one request, and the seconds after which no further one is begun: a browser waits for the answer.
MOST, SECONDS = 100, 20.0


class Outcome(NamedTuple):
    """What became of one letter. ``entry`` is what the admin's log keeps; empty where nothing was done."""

    ok: bool
    said: str
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """One of the two."""

    name: str
    title: str
    explanation: str
    button: str
    done: str
    run: Callable[[DeadLetter, str], Outcome]

    @property
    def permission(self) -> str:
        """Its name, before that of the model."""
        return self.name

    def obstacle(self, letter: DeadLetter) -> str:
        """Why it can't be done to a letter, or nothing."""
        if letter.status != DeadLetter.Status.NEW:
            return _resolved(letter)
        if self.name == "replay" and (letter.template, letter.handler) not in declared():
            return "Nothing in this code declares its event handler."
        return ""


def _resolved(letter: DeadLetter) -> str:
    letter.refresh_from_db(fields=["status", "resolved_by"])
    if letter.status == DeadLetter.Status.NEW:  # given up once more, just now
        return "It changed meanwhile. Look again."
    by = f" by {letter.resolved_by}" if letter.resolved_by else ""
    return f"It is resolved already: {letter.get_status_display()}{by}."


def _replay(letter: DeadLetter, by: str) -> Outcome:
    log, spec = declared().get((letter.template, letter.handler), (None, None))
    if log is None or spec is None:
        return Outcome(False, "Nothing in this code declares its event handler.")
    outcome = replay(letter, spec, log.spec, by)
    if outcome.done:
        return Outcome(True, "replayed", "Replayed.")
    if outcome.error and not outcome.tried:
        return Outcome(False, outcome.error)
    if outcome.error:
        return Outcome(False, f"failed again: {outcome.error}", f"Replay failed: {outcome.error}")
    return Outcome(False, _resolved(letter))


def _discard(letter: DeadLetter, by: str) -> Outcome:
    return Outcome(True, "discarded", "Discarded.") if discard(letter, by) else Outcome(False, _resolved(letter))


REPLAY = Resolution(
    "replay",
    "Replay dead letters",
    "The event handler of each record is called once more, here and now, one after the other, oldest first. A record whose "
    "handler succeeds is resolved; one that fails again stays, with its new error.",
    "Yes, replay",
    "Replayed",
    _replay,
)
DISCARD = Resolution(
    "discard",
    "Discard dead letters",
    "These records are resolved without calling their event handlers: what the handlers would have done stays undone. They "
    "are kept in this list, and can't be replayed any more.",
    "Yes, discard",
    "Discarded",
    _discard,
)
RESOLUTIONS = {one.name: one for one in (REPLAY, DISCARD)}


def resolve(
    resolution: Resolution,
    letters: Sequence[DeadLetter],
    by: str,
    log: Callable[[DeadLetter, str], object],
) -> list[tuple[DeadLetter, Outcome]]:
    """Do it to each letter, and ``log`` what was done at once. When the time is up the rest is left as it is."""
    until, found = time.monotonic() + SECONDS, []
    for letter in letters:
        if time.monotonic() > until:
            found.append((letter, Outcome(False, "not tried, because the time of one request was up.")))
            continue
        outcome = resolution.run(letter, by)
        if outcome.entry:
            log(letter, outcome.entry)
        found.append((letter, outcome))
    return found
