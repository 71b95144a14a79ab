"""Prometheus metrics. Nothing that they tell of knows of them.

* `declared`: how a metric is made, with its unit and when to worry; what `docs/metrics.md` is written from.
* `process`, `folds`, `consumers`, `live`: what one process counts. They subscribe to the events of `via_state.telemetry`.
* `shared_truth`: what all processes share, read from the database and the logs when somebody looks. No process's memory is in it, so it
  is right while no worker lives, after a takeover, and in multiprocess mode.
* `exposition`: all of it as one page, also in multiprocess mode.

All are on the default registry of prometheus-client, where django-prometheus and any other exporter find them. ``key`` is the declared
key (for a family its template), never a session, a user or a room, so the number of series does not grow with the members of a family.
"""
