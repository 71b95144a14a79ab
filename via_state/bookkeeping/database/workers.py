"""Who runs event handlers, by leases on the database's clock. On a database thread."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables

if TYPE_CHECKING:
    from via_state.models import HandlerWorker

#: Rows of workers that died so long ago are removed.
FORGET = timedelta(days=1)


def alive() -> QuerySet[HandlerWorker]:
    """Those whose lease holds."""
    return tables.workers.rows().filter(lease_until__gt=Now())


def renew(worker: str, worker_group: str, lease: float) -> list[str]:
    """Be alive in this group for ``lease`` seconds from now; returns who of the group is."""
    until = Now() + timedelta(seconds=lease)
    if not tables.workers.rows().filter(id=worker).update(lease_until=until, worker_group=worker_group):
        tables.workers.create(
            id=worker,
            worker_group=worker_group,
            host=socket.gethostname()[:200],
            pid=os.getpid(),
            started_at=Now(),
            lease_until=until,
        )
        tables.workers.rows().filter(lease_until__lt=Now() - FORGET).delete()
    return sorted(alive().filter(worker_group=worker_group).values_list("id", flat=True))
