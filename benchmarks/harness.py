"""How a benchmark is run: several rounds of ours and raw in turn, so that a machine's drift meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: Seconds after which no further round of a benchmark begins: a slow machine makes fewer, and their number is noted.
MOST_SECONDS = 20.0
#: A round of a benchmark: one measured figure, in the benchmark's unit.
Round = Callable[[], float]


@dataclass
class Result:
    """A line of the table. ``ratio`` is how we stand against ``raw``; higher is better, whatever the unit."""

    id: str
    value: float
    unit: str
    raw: float | None
    ratio: float | None
    note: str
    seconds: float  # that all rounds took, with what they prepare


@dataclass
class Benchmark:
    """``ours`` and ``raw`` yield one figure each time they are called; times are better when lower.

    ``seen`` tells after the rounds what they have seen besides it.
    """

    id: str
    unit: str
    ours: Round
    raw: Round | None
    note: str
    lower_is_better: bool = False
    rounds: int = 5
    seen: Callable[[], str] | None = None

    def run(self) -> Result:
        began = time.monotonic()
        ours: list[float] = []
        raw: list[float] = []
        while len(ours) < self.rounds and (not ours or time.monotonic() < began + MOST_SECONDS):
            ours.append(self.ours())
            if self.raw is not None:
                raw.append(self.raw())
        value = statistics.median(ours)
        base = statistics.median(raw) if raw else None
        ratio = None if base is None else (base / value if self.lower_is_better else value / base)
        noise = f"{len(ours)} rounds, {min(ours):,.4g} to {max(ours):,.4g}"
        if raw:
            noise += f", raw {min(raw):,.4g} to {max(raw):,.4g}"
        if self.seen is not None:
            noise += f"; {self.seen()}"
        return Result(
            self.id, value, self.unit, base, ratio, f"{self.note}; {noise}", round(time.monotonic() - began, 1)
        )


def table(results: Iterable[Result]) -> str:
    """The results as aligned text."""
    rows = [("id", "value", "raw", "ratio", "unit")]
    rows += [
        (
            result.id,
            f"{result.value:,.4g}" if result.value < 1000 else f"{result.value:,.0f}",
            "" if result.raw is None else f"{result.raw:,.4g}" if result.raw < 1000 else f"{result.raw:,.0f}",
            "" if result.ratio is None else f"{result.ratio:.2f}",
            result.unit,
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, 4) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
