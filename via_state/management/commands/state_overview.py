"""``manage.py state_overview``: is it well? What needs somebody, logs, event handlers and processes, at a glance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from via_state.core.findings import lasted
from via_state.management.base import StateCommand, counted
from via_state.operations.doctor.catalog import anchor
from via_state.operations.flow import MINUTES, a_minute
from via_state.operations.logs import durable_pod
from via_state.operations.overview import HandlerLine, LogLine, Overview, Release, overview


class Command(StateCommand):
    help = (
        "Says whether it is well: what needs somebody, then logs, event handlers and processes, the worst first. Exits with 1 when something "
        "needs somebody. manage.py state_doctor looks at the servers, too; state_status shows every log."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--most", type=int, default=10, metavar="N", help="lines of a table (10)")
        parser.add_argument("--json", action="store_true", help="a JSON object with all of it")

    def answer(self, *args: Any, **options: Any) -> None:
        if options["most"] < 1:
            raise CommandError(f"--most is {options['most']}. Give a number from 1.")
        found = overview(durable_pod())
        if options["json"]:
            self.document(_document(found))
        else:
            self._text(found, options["most"])
        if found.needs:
            raise SystemExit(1)

    def _text(self, found: Overview, most: int) -> None:
        at = datetime.fromtimestamp(found.at, UTC)
        self.stdout.write(f"{found.backend}, prefix {found.prefix}, as of {at:%Y-%m-%d %H:%M:%S} UTC")
        if found.needs:
            self.stdout.write(self.style.ERROR(f"{counted(len(found.needs), 'thing')} to do:"))
        else:
            said = f"All well: {summary(found)}."
            self.stdout.write(self.style.SUCCESS(said))
        for one in found.needs:
            self.stdout.write(self.style.ERROR(f"  {one.id}  {one.text}"))
            self.stdout.write(f"        {one.hint}  ({anchor(one.id)})")
        if found.unknown:
            self.stdout.write(self.style.WARNING(f"Unknown: heads and waiting events. {found.unknown}"))
        flow = found.flow
        self.stdout.write(
            f"Last {MINUTES} min: {sum(flow.appended):,} events appended (now {a_minute(flow.appended)}), "
            f"{sum(flow.delivered):,} deliveries (now {a_minute(flow.delivered)}), "
            f"{sum(flow.failed):,} that failed (now {a_minute(flow.failed)})."
        )
        waiting, aside = found.outbox.shown
        self.stdout.write(
            f"Outbox: {waiting} waiting, the oldest for {found.outbox.shown_oldest}, {aside} set aside."
        )
        heads: tuple[str, ...] = (
            "HANDLER",
            "LOG",
            "STUCK",
            "BLOCKED",
            "HALTED",
            "DEAD LETTERS",
            "OLDEST EVENT WAITS",
        )
        self._table(heads, map(_handler, found.handlers[:most]), len(found.handlers))
        heads = ("LOG", "HEAD", "FLOOR", "HALTED KEYS", "HANDLERS", "OLDEST EVENT WAITS")
        self._table(heads, map(_log, found.logs[:most]), len(found.logs))
        heads = ("CODE", "PROCESSES", "ON", "SINCE")
        self._table(heads, map(_release, found.releases[:most]), len(found.releases))
        became = [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.text) for one in found.happenings]
        self._table(("WHEN", "WHAT BECAME OF PROCESSES"), became[:most], len(became))

    def _table(self, heads: Sequence[str], rows: Iterable[Sequence[str]], every: int) -> None:
        lines = [heads, *rows]
        if not every:
            return
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        for index, line in enumerate(lines):
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            self.stdout.write(self.style.MIGRATE_HEADING(text) if index == 0 else text)
        if every > len(lines) - 1:
            self.stdout.write(f"and {every - len(lines) + 1:,} more: --most {every}")


def summary(found: Overview) -> str:
    """How much there is, in a line."""
    oldest = "unknown" if found.oldest is None else lasted(found.oldest)
    return (
        f"{counted(len(found.logs), 'declared log')}, {counted(len(found.handlers), 'event handler')}, "
        f"{counted(found.alive, 'worker')}, {found.processes:,} processes alive, oldest event that waits: {oldest}"
    )


def _handler(one: HandlerLine) -> tuple[str, ...]:
    name = one.name if one.declared else f"{one.name} (in no code)"
    shown = one.shown
    return (
        name,
        one.template,
        *(shown[column] for column in ("stuck", "blocked", "halted", "dead_letters")),
        one.shown_oldest,
    )


def _log(one: LogLine) -> tuple[str, ...]:
    ends = ("family", "") if one.family else tuple(_number(end) for end in (one.head, one.floor))
    return (one.template, *ends, f"{one.halted:,}", f"{one.handlers:,}", one.shown_oldest)


def _number(end: int | None) -> str:
    return "unknown" if end is None else f"{end:,}"


def _release(one: Release) -> tuple[str, ...]:
    hosts = sorted({peer.peer.host for peer in one.peers})
    since = min(peer.started_at for peer in one.peers)
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    return (one.code, f"{len(one.peers):,}", ", ".join(hosts[:3]) + more, f"{since:%Y-%m-%d %H:%M:%S}")


def _document(found: Overview) -> dict[str, Any]:
    return {
        "at": found.at,
        "backend": found.backend,
        "prefix": found.prefix,
        "needs": [
            {"id": one.id, "text": one.text, "hint": one.hint, "page": anchor(one.id)} for one in found.needs
        ],
        "handlers": [dataclasses.asdict(one) for one in found.handlers],
        "logs": [dataclasses.asdict(one) for one in found.logs],
        "outbox": found.outbox._asdict(),
        "workers": {"alive": found.alive, "lost": len(found.workers) - found.alive},
        "releases": [
            {
                "code": one.code,
                "processes": [
                    {"id": peer.peer.id, "host": peer.peer.host, "pid": peer.peer.pid} for peer in one.peers
                ],
            }
            for one in found.releases
        ],
        "happenings": [{"at": one.at.timestamp(), "text": one.text} for one in found.happenings],
        "a_minute": {
            "appended": found.flow.appended,
            "delivered": found.flow.delivered,
            "failed": found.flow.failed,
        },
        "unknown": found.unknown,
    }
