"""What operators' commands and pages take when there is much: a million positions and dead letters, and ten thousand logs."""

from __future__ import annotations

import asyncio
import functools
import io
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.core.management import call_command
from django.db import connection, models
from django.db.models.functions import Now

from benchmarks.harness import Benchmark
from benchmarks.nats import new_pod as new_nats_pod
from benchmarks.postgres import new_pod
from benchmarks.state import Bench, Tick
from via_state.bookkeeping.database import tables
from via_state.conf import settings
from via_state.models import DeadLetter, HandlerPosition
from via_state.operations.overview import overview
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

POSITIONS, LETTERS, LOGS = 900_000, 100_000, 10_000
#: In SQL: keys that no other benchmark has.
FIRST = 10_000_000
KEY = f"'bench.run.' || {FIRST} + i"
#: One of so many positions is stuck, and one is halted.
TROUBLE = 10_000


def _fill(model: type[models.Model], rows: int, **columns: str) -> None:
    """Rows by one statement; ``columns`` are SQL over the number ``i``, others what an empty row has."""
    values = {}
    for field in model._meta.concrete_fields:
        if field.auto_created:
            continue
        empty = "NULL" if field.null else "0" if isinstance(field, models.IntegerField) else "''"
        empty = {"BooleanField": "false", "DateTimeField": empty if field.null else "now()"}.get(
            type(field).__name__, empty
        )
        values[f'"{field.column}"'] = columns.get(field.name, empty)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{model._meta.db_table}" ({", ".join(values)}) SELECT {", ".join(values.values())} '
            f"FROM generate_series(1, {rows}) i"
        )
        cursor.execute(f'ANALYZE "{model._meta.db_table}"')


@functools.cache
def _filled() -> None:
    """Make them, once."""
    template = Bench.run.definition.spec().name
    tables.handlers.create(template=template, name="ship", start="first", ready=True, registered_at=Now())
    handler = tables.handlers.rows().get(name="ship")
    prefix = f"'{settings.PREFIX}'"
    _fill(
        HandlerPosition,
        POSITIONS,
        handler=str(handler.pk),
        position_hash="md5('run' || i)",
        key=KEY,
        stuck_since=f"CASE WHEN i % {TROUBLE} = 0 THEN now() - interval '1 hour' END",
        attempts=f"CASE WHEN i % {TROUBLE} = 0 THEN 9 ELSE 0 END",
        halted=f"CASE WHEN i % {TROUBLE} = 1 THEN 'epoch' ELSE '' END",
    )
    _fill(
        DeadLetter,
        LETTERS,
        prefix=prefix,
        template=f"'{template}'",
        handler="'ship'",
        key=KEY,
        record_id="'r' || i",
        status="CASE WHEN i % 10 = 0 THEN 'new' ELSE 'discarded' END",
        reason="'failed'",
        added_at="now() - i * interval '1 second'",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO via_state_log (prefix, key, epoch, last, last_index, floor, floor_record, xid) "
            f"SELECT {prefix}, {KEY}, gen_random_uuid(), 5, 0, 0, '', 1 FROM generate_series(1, {LOGS}) i"
        )
        cursor.execute("ANALYZE via_state_log")


@functools.cache
def _filled_nats() -> None:
    """As many logs there, once."""

    async def fill(pod: Pod) -> None:
        for first in range(0, LOGS, 500):
            logs = [Bench.run.at(run=run).using(pod) for run in range(FIRST + first, FIRST + first + 500)]
            await asyncio.gather(*(log.aappend(Tick(), wait=False) for log in logs))

    pod = new_nats_pod()
    try:
        asyncio.run(fill(pod))
    finally:
        pod.close()


def _milliseconds(work: Callable[[Any], object], over_nats: bool = False) -> float:
    """Milliseconds of one run, after one that found connections and plans."""
    _filled()
    if over_nats:
        _filled_nats()
    pod = new_nats_pod() if over_nats else new_pod()
    try:
        with use_pod(pod):
            work(pod)
            started = time.perf_counter()
            work(pod)
            return (time.perf_counter() - started) * 1000
    finally:
        pod.close()


def _command(*arguments: str) -> Callable[[Any], object]:
    def run(pod: Any) -> None:
        with suppress(SystemExit):
            call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())

    return run


def benchmarks() -> list[Benchmark]:
    """Those of this page."""
    rows = f"{POSITIONS + LETTERS:,} rows of positions and dead letters, {LOGS:,} logs"
    pages: tuple[tuple[str, Callable[[Any], object]], ...] = (
        ("overview", overview),
        ("status-worst", _command("state_status", "--worst", "20")),
        ("doctor", _command("state_doctor")),
    )
    return [
        Benchmark(id, "ms", functools.partial(_milliseconds, work), None, rows, lower_is_better=True)
        for id, work in pages
    ] + [
        Benchmark(
            "doctor-nats",
            "ms",
            functools.partial(_milliseconds, _command("state_doctor"), True),
            None,
            f"{rows} on NATS as well",
            lower_is_better=True,
        )
    ]
