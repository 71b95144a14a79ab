"""The other end of `benchmarks.peers.other`: says that it is ready, then measures what each line of its input names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version

DATABASE = {
    "host": "127.0.0.1",
    "port": os.environ["VIA_DATABASE_PORT"],
    "user": "postgres",
    "dbname": os.environ["VIA_PEER_DATABASE"],
}


def serve(package: str, jobs: Mapping[str, Callable[[], float]]) -> None:
    """Until the input ends. What a package prints by itself goes to the error output."""
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"version": version(package)}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps({"figure": jobs[line.strip()]()}), file=answers, flush=True)
