"""A worker process: ``python -m tests.cluster.handler_worker ARGUMENT...`` is manage.py with the handlers of the chaos."""

from __future__ import annotations

import faulthandler
import signal
import sys

import django


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # to see where a worker is that does not continue
    django.setup()
    from django.core.management import call_command

    import tests.cluster.handler_state  # noqa: F401 - declares them

    call_command(*sys.argv[1:])


if __name__ == "__main__":
    main()
