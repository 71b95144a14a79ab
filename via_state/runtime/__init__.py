"""What keeps a process of ours running: services, work that is done once more when it was rung, pauses.

Knows nothing of logs, cells or backplanes. Imports only `via_state.core`, `via_state.exceptions` and `via_state.telemetry`; everything
that runs in the background (pod, handlers, backplanes) may import it.

* `Service` (`service`): a part with three phases, start, drain and stop. A `ServiceGroup` starts its parts in order and
  stops them in reverse; a part that fails keeps no other one from stopping.
* `SingleFlight` (`single_flight`): a body that runs when it is rung, once more when it was rung meanwhile, never twice at
  once. It has the one policy for what a body does not expect: log it once with its traceback, wait, run again.
* `Outage` (`outage`): one log line when something stops answering, one when it answers again, the rest at debug.
"""
