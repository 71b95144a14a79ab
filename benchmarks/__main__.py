"""``python -m benchmarks [ID ...]``: run all benchmarks, or those whose id begins with an ID; print the table, and write its lines."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import report
from benchmarks.harness import Benchmark, Result, table
from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres

RESULTS = Path(__file__).parent / "results.json"


def main(only: Sequence[str]) -> None:
    import django

    with tempfile.TemporaryDirectory(prefix="via-state-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        server, other = Postgres(Path(name) / "postgres"), Nats(Path(name) / "nats")
        server.start()
        other.start()
        try:
            os.environ.update(server.environment)
            os.environ["VIA_BENCH_NATS"] = other.url
            os.environ["VIA_BENCH_NATS_PID"] = str(other.process.pid)
            os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            run(only)
        finally:
            other.stop()
            server.stop()


def known() -> list[Benchmark]:
    """All benchmarks, in the order of the results."""
    from benchmarks import (
        broadcast,
        crowds,
        growth,
        handlers,
        layers,
        live,
        memory,
        metrics,
        nats,
        operators,
        outbox,
        paint,
        postgres,
        pressure,
        snapshots,
    )

    pages = (
        memory,
        metrics,
        postgres,
        nats,
        outbox,
        snapshots,
        handlers,
        layers,
        live,
        broadcast,
        pressure,
        crowds,
        paint,
        growth,
        operators,
    )
    return [benchmark for page in pages for benchmark in page.benchmarks()]


def run(only: Sequence[str]) -> None:
    """Run the benchmarks and write their results."""
    everything = known()
    chosen = [benchmark for benchmark in everything if benchmark.id.startswith(tuple(only))]
    if not chosen:
        sys.exit(
            f"There is no benchmark {' '.join(only)!r}. Known: {', '.join(benchmark.id for benchmark in everything)}."
        )
    order = [benchmark.id for benchmark in everything]
    results, failed, began = [], [], time.monotonic()
    for benchmark in chosen:
        print(f"{benchmark.id}...", file=sys.stderr, flush=True)
        try:
            result = benchmark.run()
        except Exception:
            failed.append(benchmark.id)
            traceback.print_exc()
            continue
        print(f"  {result.seconds:.0f} s", file=sys.stderr, flush=True)
        results.append(result)
        keep(result, order)
    report.write()
    print(table(results))
    for result in results:
        print(f"{result.id}: {result.note}")
    print(
        f"{os.cpu_count()} processors, Python {platform.python_version()}; the notes give the spread of the rounds. "
        f"It took {time.monotonic() - began:.0f} s."
    )
    print(f"Written to {RESULTS.relative_to(Path.cwd())} and docs/figures.md")
    if failed:
        sys.exit(f"These failed, and keep the figures that they had: {', '.join(failed)}.")


def keep(result: Result, order: list[str]) -> None:
    """Write one line of the results at once: what fails after it takes nothing away. What is no benchmark any more goes."""
    before = {line["id"]: line for line in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    lines = before | {result.id: asdict(result)}
    RESULTS.write_text(json.dumps([lines[id] for id in order if id in lines], indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or [""])
