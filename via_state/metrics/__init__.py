"""Prometheus metrics. They subscribe to the events of `via_state.telemetry`; nothing that emits those knows of metrics.

`process`: what one process counts, on the default registry of prometheus-client, where django-prometheus and any other exporter
find it. ``key`` is the declared key (for a family its template), never a session, a user or a room, so the number of series does not
grow with the members of a family.
"""
