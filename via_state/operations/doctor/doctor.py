"""Looks at everything, once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.conf import settings as django_settings
from django.db import Error as DatabaseFailure

from via_state.conf import settings
from via_state.core.findings import Finding, Level, bad, several, some, unknown, well
from via_state.exceptions import BackplaneUnavailable
from via_state.operations import condition as books
from via_state.operations.condition import Condition
from via_state.operations.doctor.catalog import IDS
from via_state.operations.doctor.cluster import deaf, releases
from via_state.operations.doctor.database import database
from via_state.operations.doctor.handlers import dead_letters, halted_handlers, no_worker, orphans
from via_state.operations.doctor.keys import halted_keys, old_code
from via_state.operations.doctor.pages import browsers, channel_layer
from via_state.operations.doctor.waiting import erasures, outbox
from via_state.operations.handlers import declared
from via_state.pod.pod import Pod
from via_state.runtime.database_errors import sentence

#: Seconds that the backplane may take for a question, and how often it is asked.
SLOW, TRIPS = 0.1, 3


def examine(pod: Pod) -> list[Finding]:
    """Everything that was looked at, by id; of one id, those first that need somebody."""
    found = [*database(), *_backplane(pod), *channel_layer(), *browsers()]
    if not any(one.level is Level.BAD and one.id in ("D100", "D104") for one in found):
        try:
            found += _books()
        except DatabaseFailure as error:
            found.append(unknown("D301", sentence(error, settings.DATABASE)))
    order = list(IDS)
    return sorted(
        heard(found),
        key=lambda one: (order.index(one.id) if one.id in IDS else len(order), one.level is not Level.BAD),
    )


def needs(condition: Condition) -> list[Finding]:
    """What needs somebody, of what the books say; who is hit most comes first."""
    code = set(declared())
    return list(
        heard(
            [
                *halted_keys(condition),
                *halted_handlers(condition),
                *no_worker(condition, code),
                *outbox(condition),
                *dead_letters(condition),
                *releases(condition),
                *deaf(condition),
                *orphans(condition, code),
            ]
        )
    )


def heard(found: list[Finding]) -> Iterator[Finding]:
    """Those that nobody silenced."""
    silenced = set(django_settings.SILENCED_SYSTEM_CHECKS)
    return (one for one in found if f"via_state.{one.id}" not in silenced)


def _books() -> list[Finding]:
    condition, code = books.read(), set(declared())
    workers, peers = (sum(one.alive for one in some) for some in (condition.workers, condition.peers))
    return [
        *some("D301", no_worker(condition, code), f"{several(workers, 'worker is alive', 'workers are alive')}."),
        *some("D302", orphans(condition, code), "Every registered event handler is in the code."),
        *some("D303", dead_letters(condition), "No dead letter waits."),
        *some("D304", outbox(condition), "Nothing waits in the outbox for long."),
        *some("D305", halted_keys(condition), "No key is halted."),
        *some("D306", releases(condition), "All processes run the same code, or a deploy is under way."),
        *some(
            "D309",
            deaf(condition),
            f"{several(peers, 'process is alive', 'processes are alive')}, and none is deaf.",
        ),
        *some("D310", erasures(), "No erasure fails."),
        *some("D311", halted_handlers(condition), "No event handler is halted, or stuck for long."),
        *some("D312", old_code(condition), "No snapshots of code that nobody runs."),
    ]


def _round_trip(pod: Pod) -> Finding:
    """How long a question takes from here and back, the quickest of some: the first one may have made a connection."""
    took = []
    for _ in range(TRIPS):
        began = time.monotonic()
        pod.thread.call(pod.backplane.heads(["via-state-doctor"]))
        took.append(time.monotonic() - began)
    text = f"The backplane answered after {min(took) * 1000:.1f} ms."
    if min(took) <= SLOW:
        return well("D101", text)
    return bad(
        "D101",
        f"{text} Each append, and each read of a value that is not here, takes as long.",
        "Look at the load of its servers, and at the network between them and this machine; look from other machines, too.",
    )


def _backplane(pod: Pod) -> list[Finding]:
    try:
        found = pod.thread.call(pod.backplane.examine())
    except BackplaneUnavailable as error:
        return [bad("D200", f"The backplane does not answer: {error}", "Start its servers, or mend VIA_STATE.")]
    try:
        return [*found, _round_trip(pod)]
    except BackplaneUnavailable as error:
        return [*found, unknown("D101", str(error))]
