"""How much was done in each of the last minutes, of all processes together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from via_state.bookkeeping.database import rates
from via_state.bookkeeping.rates import Done, this_minute

#: Minutes that are shown: whole ones, so that the last one is not half of one.
MINUTES = 30


@dataclass(frozen=True, slots=True)
class Flow:
    """``appended``: events; ``delivered``, ``failed``: deliveries of all event handlers. Each a number a minute, the oldest first."""

    appended: list[int] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    #: Of each event handler, by declared key and name, of those that did something: deliveries that went well, and that failed.
    handlers: dict[tuple[str, str], list[Done]] = field(default_factory=dict)


def flow() -> Flow:
    """One statement. Raises what the database raises."""
    first = this_minute() - MINUTES
    minutes = range(MINUTES)
    by: dict[tuple[str, str], dict[int, Done]] = {}
    for (minute, template, handler), done in rates.of_last(MINUTES).items():
        by.setdefault((template, handler), {})[minute - first] = done
    appended = by.pop(("", ""), {})
    handlers = {of: [found.get(minute, Done()) for minute in minutes] for of, found in by.items()}
    every = list(zip(*handlers.values(), strict=True)) or [()] * MINUTES
    return Flow(
        [appended.get(minute, Done()).done for minute in minutes],
        [sum(one.done for one in each) for each in every],
        [sum(one.failed for one in each) for each in every],
        handlers,
    )


def a_minute(numbers: Iterable[int]) -> str:
    """The last of them, in words."""
    *_, last = (0, *numbers)
    return f"{last:,}/min"
