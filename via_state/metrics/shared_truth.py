"""What all processes share, read when somebody looks: from the database, and the logs themselves.

Every process shows the same, whatever it has seen: a figure is right while no worker lives and right after a takeover. Times are Unix times; an age is
``time() - x``, so that it grows also while nobody looks. One look serves all who ask within `FRESH` seconds; each statement is
bounded by `LIMIT` rows. Where the truth can't be read, nothing is shown, and ``via_collector_errors_total`` counts that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily

from via_state.conf import settings
from via_state.metrics.declared import HANDLER, Described, counter, describe
from via_state.operations.truth import Facts, gather
from via_state.pod.default import current_pod, existing_pod, sheltered
from via_state.runtime.outage import Outage

logger = logging.getLogger("via_state.metrics")

#: Seconds for which a look serves; seconds that one may take.
FRESH, ANSWER = 5.0, 3.0

collector_errors = counter(
    "via_collector_errors",
    "Times the shared truth could not be read; the figures that stand on it were left out.",
    "any increase: look into the log of via_state.metrics",
)

#: What is shown of the facts: name, labels, unit, text, when to worry.
_SHOWN = (
    ("via_deadletters_waiting", HANDLER, "records", "Dead letters that wait for a person.", "above 0 for 5 min"),
    (
        "via_deadletters_oldest_timestamp_seconds",
        HANDLER,
        "seconds",
        "When the dead letter that waits longest was given up, as Unix time; absent while none waits.",
        "older than 24 h",
    ),
    (
        "via_consumer_positions",
        (*HANDLER, "state"),
        "positions",
        "Positions of an event handler by state: idle, running, stuck, blocked, halted. At most 10,000 are counted, those in trouble first.",
        "halted above 0 for 1 min: manage.py resume_handler",
    ),
    (
        "via_consumer_oldest_timestamp_seconds",
        HANDLER,
        "seconds",
        "When the oldest event was appended that a handler has not had, as Unix time; absent while none waits.",
        "older than 5 min for 10 min",
    ),
    (
        "via_workers",
        ("state",),
        "workers",
        "Workers that hold a lease (alive), and those of the last day whose lease ended (lost).",
        "alive is 0 while event handlers are registered",
    ),
    (
        "via_pods",
        ("role", "release"),
        "processes",
        "Processes that are alive, by role, what they do beside reading and writing state (else state), and release, which stands for their code.",
        "two releases for more than 1 h",
    ),
    (
        "via_floor_pinned_logs",
        ("key", "by"),
        "logs",
        "Logs by what keeps their records from being discarded: age, as it should be; handler, which has not had them; code, whose snapshots are not "
        "as far; divergence; unstorable; declaration (compact=False, or none). At most 2,000 are looked at, once a minute.",
        "by handler or code for 24 h: those logs only grow, and manage.py state_status says why",
    ),
    (
        "via_halted_pods",
        ("key", "reason"),
        "processes",
        "Processes in which a key is halted, by reason: fold, newer, gap, code; or lacks records (unreadable) or a pure fold (divergence).",
        "above 0 for 1 min",
    ),
    ("via_outbox_waiting", (), "records", "Records in the outbox that wait to be relayed.", "grows for 5 min"),
    (
        "via_outbox_oldest_timestamp_seconds",
        (),
        "seconds",
        "When the record that waits longest in the outbox was written, as Unix time; absent while none waits.",
        "older than 60 s",
    ),
    (
        "via_outbox_set_aside",
        (),
        "records",
        "Records in the outbox that were set aside and wait for a person.",
        "above 0: manage.py replay_outbox",
    ),
)
describe(
    __name__,
    *(Described(name, "gauge", labels, unit, text, worry) for name, labels, unit, text, worry in _SHOWN),
)


def _families(facts: Facts | None) -> list[GaugeMetricFamily]:
    found = []
    for name, labels, _, text, _ in _SHOWN:
        family = GaugeMetricFamily(name, text, labels=labels)
        for values, figure in (facts or {}).get(name, {}).items():
            family.add_metric(values, figure)
        found.append(family)
    return found


class SharedTruth:
    """A collector of prometheus-client. ``look`` gives the facts; it runs in the thread of whoever collects."""

    def __init__(self, look: Callable[[], Facts] | None = None) -> None:
        self._look = look or _look
        self._lock = threading.Lock()
        self._until = 0.0
        self._facts: Facts | None = None
        self._outage = Outage(logger, "The shared truth that metrics show", "metrics")

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """What it collects, without a look."""
        return _families(None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures of now, or of at most `FRESH` seconds ago."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._facts = self._ask()
                self._until = time.monotonic() + FRESH
            facts = self._facts
        yield from _families(facts)

    def _ask(self) -> Facts | None:
        try:
            facts = self._look()
        except Exception as error:
            collector_errors.inc()
            self._outage.failed(error)
            return None
        self._outage.answered()
        return facts


def _look() -> Facts:
    pod = existing_pod() if sheltered() else current_pod()  # a look must not begin to run the handlers of a test
    if pod is None or not pod.backplane.durable:
        return {}  # nothing is shared
    future = pod.thread.submit(gather(pod, settings.PREFIX))
    try:
        return future.result(ANSWER)
    except TimeoutError:
        raise TimeoutError(f"No answer within {ANSWER:.0f} s.") from None
    finally:
        future.cancel()
