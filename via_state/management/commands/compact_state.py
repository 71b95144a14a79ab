"""``manage.py compact_state``: discard what no one needs any more, now."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core.management.base import CommandError, CommandParser
from django.template.defaultfilters import filesizeformat

from via_state.core.records import GENESIS, Position
from via_state.core.specs import LogSpec
from via_state.exceptions import ViaStateError
from via_state.management.base import StateCommand, counted
from via_state.management.selection import Selected, add_key_argument, durable_pod, selected
from via_state.pod.pod import Pod


class Freed(NamedTuple):
    """Records and bytes of a prefix."""

    records: int
    size: int


class Command(StateCommand):
    help = (
        "Discards the records that snapshots cover and nobody needs any more. Pods do so by themselves while they fold; this "
        "is for logs in which nothing happens, and to see what keeps records. Safe while the site runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_argument(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be discarded, and discard nothing"
        )

    def answer(self, *args: Any, **options: Any) -> None:
        pod, dry = durable_pod(), options["dry_run"]
        records = size = compacted = looked = 0
        if not pod.backplane.compacts:
            raise CommandError("This backplane keeps all records for ever.", returncode=2)
        for log in selected(pod, options["key"]):
            try:
                freed, why = self._compact(pod, log, dry)
            except ViaStateError as error:
                raise CommandError(f"{log.key}: {error}", returncode=2) from error
            looked += 1
            if freed.records:
                compacted += 1
                records, size = records + freed.records, size + freed.size
            if freed.records or options["verbosity"] > 1:
                self.progress("")
                self.stdout.write(f"{log.key}: {_text(freed)}; the rest is kept by {why}")
            self.progress(f"{counted(looked, 'log')} looked at")
        self.progress("")
        verb = "would be discarded" if dry else "discarded"
        total = _text(Freed(records, size))
        self.stdout.write(self.style.SUCCESS(f"{total} {verb} in {compacted:,} of {counted(looked, 'log')}."))

    def _compact(self, pod: Pod, log: Selected, dry: bool) -> tuple[Freed, str]:
        if log.definition is None:
            return Freed(0, 0), "nothing in this code declares it"
        spec = log.definition.built()
        if spec.snapshots is None or not spec.snapshots.compact:
            return Freed(0, 0), "its declaration"
        return pod.thread.call(_compact(pod, log, spec, dry))


async def _compact(pod: Pod, log: Selected, spec: LogSpec[Any], dry: bool) -> tuple[Freed, str]:
    epoch = log.head.position.epoch
    pin = await pod.snapshots.decide(log.key, epoch, spec, dry=dry)
    freed = await _measure(pod, log.key, log.head.floor, pin.offset)
    if pin.offset and not dry:
        await pod.backplane.compact(log.key, pin.offset, epoch)
    return freed, pin.why


async def _measure(pod: Pod, key: str, floor: Position, through: int) -> Freed:
    """What lies between the floor and an offset. Of a pack that reaches beyond it, the bytes stay."""
    records = size = 0
    after = floor if floor.offset else GENESIS
    while after.offset < through:
        batch = await pod.backplane.read(key, after, 5000)
        if not batch.packs:
            break
        for pack in batch.packs:
            first, last = max(pack.first, after.offset + 1), min(pack.last, through)
            records += max(0, last - first + 1)
            size += len(pack.data) if pack.last <= through else 0
        end = batch.packs[-1]
        after = Position(batch.head.epoch, end.last, end.record_id(end.last))
    return Freed(records, size)


def _text(freed: Freed) -> str:
    return f"{counted(freed.records, 'record')} ({filesizeformat(freed.size)})".replace("\xa0", " ")
