"""``manage.py state_status``: how every log stands."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper
from django.utils.timesince import timesince
from django.utils.timezone import now

from via_state.management.arguments import add_key_argument
from via_state.management.base import StateCommand, counted
from via_state.operations.erasures import waiting
from via_state.operations.logs import durable_pod, selected
from via_state.operations.outbox import Backlog
from via_state.operations.overview import code_of
from via_state.operations.peers import KnownPeer, peers
from via_state.operations.reports import Handled, LogReport, reports
from via_state.operations.worst import worst

#: Seconds after which a record that waits in the outbox is a fault.
STALLED = 60.0


class Command(StateCommand):
    help = (
        "Shows every log: its head, its floor (the records up to it were discarded) and what keeps the floor from rising, the "
        "snapshot that a start continues from, its event handlers with a lag, and what is halted and why. Then the outbox, "
        "where something waits in it. Exits with 1 when something is halted, or waits in the outbox for more than a minute."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_argument(parser)
        parser.add_argument("--halted", action="store_true", help="only what is halted")
        parser.add_argument(
            "--worst",
            type=int,
            metavar="N",
            help="only the first N that are halted, or whose handlers are halted or stuck, worst first; no other log is looked at",
        )
        parser.add_argument(
            "--peers",
            action="store_true",
            help="instead: the processes, those that are alive first; others for a day",
        )
        parser.add_argument(
            "--json", action="store_true", help="a JSON array, one object for each log, or process"
        )

    def answer(self, *args: Any, **options: Any) -> None:
        pod = durable_pod()
        if options["peers"]:
            self._peers(peers(pod), options["json"])
            return
        if options["worst"] is not None and (options["worst"] < 1 or options["key"]):
            raise CommandError("Give --worst a number from 1, and no --key beside it.")
        chosen = selected(pod, options["key"]) if options["worst"] is None else worst(pod, options["worst"])
        found = list(reports(pod, chosen))
        outbox = pod.thread.call(pod.outbox.backlog())
        halted = [one for one in found if one.is_halted]
        shown = halted if options["halted"] else found
        if options["json"]:
            self.document([dataclasses.asdict(one) for one in shown])
        else:
            self._table(shown)
            self.stdout.write(f"{counted(len(found), 'log')}, {len(halted):,} of them halted.")
            self._erasures()
        stalled = outbox.oldest > STALLED
        if outbox.waiting or outbox.aside:
            self._outbox(outbox, stalled, self.stderr if options["json"] else self.stdout)
        if halted or stalled:
            raise SystemExit(1)

    def _peers(self, found: list[KnownPeer], as_json: bool) -> None:
        if as_json:
            self.document([_document(one) for one in found])
            return
        rows = [("PROCESS", "HOST", "PID", "ALIVE", "DOES", "DOORBELL", "CODE", "SINCE"), *map(_row, found)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            self.stdout.write(
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            )
        alive = sum(one.alive for one in found)
        self.stdout.write(f"{alive:,} of {len(found):,} alive.")

    def _erasures(self) -> None:
        if (found := waiting()) is not None:
            why = f" The last error: {found.error}" if found.error else ""
            text = f"State waits to be erased, of {counted(found.owners, 'deleted user')}, since {found.since:%Y-%m-%d %H:%M:%S}.{why}"
            self.stdout.write(self.style.WARNING(text))

    def _outbox(self, outbox: Backlog, stalled: bool, out: OutputWrapper) -> None:
        if outbox.waiting:
            style = self.style.ERROR if stalled else self.style.WARNING
            text = f"Outbox: {counted(outbox.waiting, 'record')} waiting, the oldest for {_ago(outbox.oldest)}."
            out.write(style(text + (" See the log of the workers for the reason." if stalled else "")))
        if outbox.aside:
            out.write(
                self.style.ERROR(
                    f"Outbox: {counted(outbox.aside, 'record')} set aside; see manage.py replay_outbox."
                )
            )

    def _table(self, shown: list[LogReport]) -> None:
        heads = ("KEY", "HEAD", "FLOOR", "SNAPSHOT", "AGE", "TAIL", "FLOOR KEPT BY")
        lines = [heads, *map(_cells, shown)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        for index, line in enumerate(lines):
            text = "  ".join(
                cell.rjust(width) if 0 < column < 6 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            self.stdout.write(self.style.MIGRATE_HEADING(text.rstrip()) if index == 0 else text.rstrip())
            if index and "~" in shown[index - 1].key:  # escaped: nobody reads it at sight
                said = (f"{name} = {value!r}" for name, value in shown[index - 1].parameters.items())
                self.stdout.write(f"    {', '.join(said)}")
            for one in shown[index - 1].halted if index else ():
                where = f" on {one.host}, pod {one.pod}, since {one.since}" if one.pod else ""
                self.stdout.write(self.style.ERROR(f"    HALTED ({one.reason}){where}: {one.text}"))
            for handler in shown[index - 1].handlers if index else ():
                self._handler(handler)

    def _handler(self, one: Handled) -> None:
        where = f"    event handler {one.name}"
        if one.halted:
            self.stdout.write(self.style.ERROR(f"{where}: HALTED ({one.halted}); see manage.py resume_handler"))
        elif one.stuck_since:
            how = f"failed {counted(one.attempts, 'time')}" if one.attempts else "blocked"
            text = f"{where}: {how} since {one.stuck_since}, {counted(one.lag, 'event')} after its position: {one.error}"
            self.stdout.write(self.style.WARNING(text))
        elif one.lag:
            runs = f"run by {one.worker}" if one.worker else "nobody runs it"
            self.stdout.write(f"{where}: {counted(one.lag, 'event')} after its position, {runs}")
        if one.dead_letters:
            letters = counted(one.dead_letters, "dead letter")
            self.stdout.write(self.style.WARNING(f"{where}: {letters}; see manage.py replay_dead_letters"))
        if not one.declared:
            self.stdout.write(f"{where}: nothing in this code declares it; see manage.py retire_handler")


def _row(one: KnownPeer) -> tuple[str, ...]:
    peer = one.peer
    alive = "yes" if one.alive else f"gone since {one.lease_until:%Y-%m-%d %H:%M:%S}"
    does = ", ".join(peer.roles) or "state"
    since = f"{one.started_at:%Y-%m-%d %H:%M:%S}"
    return (peer.id, peer.host, str(peer.pid), alive, does, peer.doorbell, code_of(peer), since)


def _document(one: KnownPeer) -> dict[str, Any]:
    peer = one.peer
    return {
        "id": peer.id,
        "host": peer.host,
        "pid": peer.pid,
        "alive": one.alive,
        "roles": list(peer.roles),
        "doorbell": peer.doorbell,
        "fingerprints": dict(peer.code.fingerprints),
        "events": dict(peer.code.events),
        "started_at": one.started_at.isoformat(),
        "lease_until": one.lease_until.isoformat(),
    }


def _cells(one: LogReport) -> tuple[str, ...]:
    age = "-" if one.snapshot_age is None else _ago(one.snapshot_age)
    snapshot = "-" if one.snapshot is None else f"{one.snapshot:,}"
    return (
        one.key,
        f"{one.head:,}",
        f"{one.floor:,}",
        snapshot,
        age,
        f"{one.tail:,}",
        f"{one.held_by} ({one.pinned_at:,})",
    )


def _ago(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    from datetime import timedelta

    return timesince(now() - timedelta(seconds=seconds), depth=1).replace("\xa0", " ")
