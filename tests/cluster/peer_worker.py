"""A process that uses state, and does what it is told: ``fork``, or ``end``. It prints the pids of those that use state."""

from __future__ import annotations

import os
import sys
import time

import django


def main() -> None:
    django.setup()
    from tests.cluster.shared_state import Shared

    Shared.steps.read()
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            return
        if os.fork() == 0:
            Shared.steps.read()
            print(os.getpid(), flush=True)
            while True:
                time.sleep(60)


if __name__ == "__main__":
    main()
