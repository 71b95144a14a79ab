"""What an operator sees in Django's admin: nothing is edited by hand. Loaded where ``django.contrib.admin`` is installed."""

from via_state.admin import halted, handlers, letters, outbox, positions, snapshots, workers  # noqa: F401 - registers them
