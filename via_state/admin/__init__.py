"""What an operator sees in Django's admin: nothing is edited by hand. Loaded where ``django.contrib.admin`` is installed."""

from via_state.admin import (  # noqa: F401 - registers them
    dead_letters,
    erasures,
    halted,
    handlers,
    outbox,
    overview,
    peers,
    positions,
    snapshots,
    workers,
)
