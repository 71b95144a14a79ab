"""Who runs event handlers. On a database thread."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.db.models.functions import Now

from via_state.bookkeeping.database import leases, tables

if TYPE_CHECKING:
    from via_state.models import HandlerWorker


def alive() -> QuerySet[HandlerWorker]:
    """Those whose lease holds."""
    return leases.alive(tables.workers.rows())


def renew(worker: str, worker_group: str, lease: float, peer: str) -> list[str]:
    """Be alive in this group for ``lease`` seconds from now, in the process ``peer``; returns who of the group is."""
    until = leases.until(lease)
    if not tables.workers.rows().filter(id=worker).update(lease_until=until, worker_group=worker_group):
        tables.workers.create(
            id=worker,
            worker_group=worker_group,
            peer=peer,
            host=socket.gethostname()[:200],
            pid=os.getpid(),
            started_at=Now(),
            lease_until=until,
        )
        leases.forget(tables.workers.rows())
    return sorted(alive().filter(worker_group=worker_group).values_list("id", flat=True))
