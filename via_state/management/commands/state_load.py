"""``manage.py state_load``: what the project's backplane takes, from this machine."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.conf import settings
from via_state.core.findings import amount
from via_state.management.base import StateCommand, counted
from via_state.operations.load import Load, LoadReport, run

_MOST = {"writers": 10_000, "keys": 10_000, "size": 1_000_000, "seconds": 3600}


class Command(StateCommand):
    help = (
        "Writes to the project's backplane for some seconds, under a prefix of its own that is erased afterwards, and says how much it took, "
        "how long writes lasted, and what limited them. The servers are busy meanwhile: not for those that people use at this moment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--writers", type=int, default=16, metavar="N", help="writers at once (16)")
        parser.add_argument("--keys", type=int, default=8, metavar="N", help="keys that they write to (8)")
        parser.add_argument(
            "--size", type=int, default=200, metavar="BYTES", help="bytes of an event, or a value (200)"
        )
        parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="for how long (10)")
        parser.add_argument("--cells", action="store_true", help="update cells instead of appending to logs")
        parser.add_argument("--json", action="store_true", help="a JSON object")

    def answer(self, *args: Any, **options: Any) -> None:
        for name, most in _MOST.items():
            if not 0 < options[name] <= most:
                raise CommandError(f"--{name} is {options[name]}. Give a number above 0, and at most {most:,}.")
        load = Load(*(options[name] for name in ("writers", "keys", "size", "seconds", "cells")))
        report = run(load)
        if options["json"]:
            self.document(_document(report))
        else:
            self._text(load, report)
        if report.errors or not report.times:
            raise SystemExit(1)

    def _text(self, load: Load, report: LoadReport) -> None:
        what = "updates of cells" if load.cells else "events appended"
        say = self.stdout.write
        say(
            f"{settings.BACKEND.rpartition('.')[2]}: {counted(load.writers, 'writer')} on {counted(load.keys, 'key')}, "
            f"{load.size:,} bytes each, {report.seconds:.1f} s"
        )
        say(f"  {len(report.times):,} {what}: {report.rate:,.0f}/s, {amount(report.rate * load.size)}/s")
        times = [f"p{part * 100:g} {_ms(report.percentile(part))}" for part in (0.5, 0.95, 0.99)]
        say(f"  a write took: {', '.join(times)}, the longest {_ms(report.percentile(1.0))}")
        if report.store:
            say(
                f"  an append of the store took {_ms(report.percentile(0.5, report.store))} (p50), "
                f"{_ms(report.percentile(0.99, report.store))} (p99), and carried {report.together:.1f} events"
            )
        if load.cells:
            say(f"  {report.conflicts:,} rounds lost to other writers")
        say(f"  this process used {report.cpu * 100:.0f}% of a core")
        for name, count in report.errors.items():
            say(self.style.ERROR(f"  {name}: {count:,} times"))
        say(f"Limited by {report.limit}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _document(report: LoadReport) -> dict[str, Any]:
    return {
        "seconds": report.seconds,
        "writes": len(report.times),
        "per_second": report.rate,
        "seconds_p50": report.percentile(0.5),
        "seconds_p95": report.percentile(0.95),
        "seconds_p99": report.percentile(0.99),
        "seconds_longest": report.percentile(1.0),
        "store_appends": len(report.store),
        "store_seconds_p50": report.percentile(0.5, report.store),
        "store_seconds_p99": report.percentile(0.99, report.store),
        "events_together": report.together,
        "conflicts": report.conflicts,
        "errors": report.errors,
        "cpu": report.cpu,
        "limited_by": report.limit,
    }
