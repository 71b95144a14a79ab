"""Looks at everything, once."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings as django_settings
from django.db import Error as DatabaseFailure

from via_state.conf import settings
from via_state.core.findings import Finding, Level, bad, unknown
from via_state.exceptions import BackplaneUnavailable
from via_state.operations.doctor.catalog import IDS
from via_state.operations.doctor.cluster import cluster
from via_state.operations.doctor.database import database
from via_state.operations.doctor.handlers import handlers
from via_state.operations.doctor.keys import keys, old_code
from via_state.operations.doctor.waiting import waiting
from via_state.pod.pod import Pod
from via_state.runtime.database_errors import sentence

#: What is read from our tables, each with the id under which it is said that this failed.
_BOOKS: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
    ("D301", handlers),
    ("D304", waiting),
    ("D305", keys),
    ("D306", cluster),
    ("D312", old_code),
)


def examine(pod: Pod) -> list[Finding]:
    """Everything that was looked at, by id; of one id, those first that need somebody."""
    found = [*database(), *_backplane(pod)]
    if not any(one.level is Level.BAD and one.id in ("D100", "D104") for one in found):
        for id, look in _BOOKS:
            try:
                found += look()
            except DatabaseFailure as error:
                found.append(unknown(id, sentence(error, settings.DATABASE)))
    silenced = {name.removeprefix("via_state.") for name in django_settings.SILENCED_SYSTEM_CHECKS}
    order = list(IDS)
    return sorted(
        (one for one in found if one.id not in silenced),
        key=lambda one: (order.index(one.id) if one.id in IDS else len(order), one.level is not Level.BAD),
    )


def _backplane(pod: Pod) -> list[Finding]:
    try:
        return pod.thread.call(pod.backplane.examine())
    except BackplaneUnavailable as error:
        return [bad("D200", f"The backplane does not answer: {error}", "Start its servers, or mend VIA_STATE.")]
