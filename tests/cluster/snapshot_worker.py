"""A process that appends and folds, then ends: ``python -m tests.cluster.snapshot_worker NAME COUNT``; prints its last value."""

from __future__ import annotations

import json
import sys
import time

import django


def main(name: int, count: int) -> None:
    django.setup()
    from tests.cluster.shared_state import Shared, Step

    last = Shared.steps.read()
    for number in range(count):
        last = Shared.steps.read(at_least=Shared.steps.append(Step(name * 100_000 + number)))
    print(json.dumps(last), flush=True)
    end = int(sys.stdin.readline())  # the test says up to where everybody wrote
    while (position := Shared.steps.status().position).offset < end:
        time.sleep(0.01)
    print(json.dumps({"offset": position.offset, "digest": Shared.steps.read()}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
