"""``python -m benchmarks.peers [ID]``: measure all comparisons, or those whose id begins with ID, and write their lines."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.peers.other import PYTHON, Other
from testproject.servers.nats import Nats
from testproject.servers.postgres import Postgres
from testproject.servers.redis import Redis

if TYPE_CHECKING:
    from benchmarks.peers.comparisons import Comparison

ROUNDS = 3


def main(only: str) -> None:
    import django

    if not PYTHON.exists():
        sys.exit("The other packages are not installed. Say: make bench-peers")
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="via-state-peers-", ignore_cleanup_errors=True))
        )
        folder.chmod(0o755)
        postgres, nats, redis = Postgres(folder / "postgres"), Nats(folder / "nats"), Redis(folder / "redis")
        for server in (postgres, nats, redis):
            stack.callback(server.stop)
            server.start()
        os.environ.update(postgres.environment)
        os.environ["VIA_BENCH_NATS"] = nats.url
        os.environ["VIA_PEER_REDIS"] = redis.url
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        run(only, stack)


def run(only: str, stack: ExitStack) -> None:
    """Run them side by side, round by round in turn, and write what was measured."""
    import psycopg

    from benchmarks.peers.comparisons import PACKAGES, comparisons
    from benchmarks.postgres import dsn

    others = {}
    for package in PACKAGES:
        database = package.module
        with psycopg.connect(dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        others[package.name] = other = Other(package.module, {"VIA_PEER_DATABASE": database})
        stack.callback(other.close)
    began, chosen = time.monotonic(), [one for one in comparisons(others) if one.id.startswith(only)]
    if not chosen:
        sys.exit(f"There is no comparison {only!r}. Known: {', '.join(one.id for one in comparisons(others))}.")
    measured = {one.id: measure(one) for one in chosen}
    before = json.loads(report.PEERS.read_text())["lines"] if report.PEERS.exists() else []
    known = {line["id"]: line for line in before} | measured
    lines = [known[one.id] for one in comparisons(others) if one.id in known]
    packages = [
        {
            "name": one.name,
            "version": others[one.name].version,
            "used": one.used,
            "it_does": one.it_does,
            "we_do": one.we_do,
        }
        for one in PACKAGES
    ]
    report.PEERS.write_text(
        json.dumps({"packages": packages, "lines": lines}, indent=2, ensure_ascii=False) + "\n"
    )
    report.write()
    print(report.peers(report.load_peers()))
    print(f"It took {time.monotonic() - began:.0f} s. Written to benchmarks/peers.json and docs/figures.md")


def measure(one: Comparison) -> report.PeerLine:
    """A line of the results: the rounds of each side."""
    print(f"{one.id}...", file=sys.stderr, flush=True)
    rounds: dict[str, list[float]] = {name: [] for name in one.sides}
    began = time.monotonic()
    for _ in range(ROUNDS):
        for name, figure in one.sides.items():
            rounds[name].append(figure())
    print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return {
        "id": one.id,
        "what": one.what,
        "unit": one.unit,
        "lower_is_better": one.lower_is_better,
        "sides": [
            {"name": name, "value": statistics.median(found), "least": min(found), "most": max(found)}
            for name, found in rounds.items()
        ],
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
