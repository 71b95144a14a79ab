"""What an operator sees in Django's admin: nothing is edited by hand. Loaded where ``django.contrib.admin`` is installed."""

from via_state.admin import (  # noqa: F401 - registers them
    erasures,
    halted,
    handlers,
    letters,
    outbox,
    overview,
    peers,
    positions,
    snapshots,
    workers,
)
