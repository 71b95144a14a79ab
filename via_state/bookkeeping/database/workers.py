"""Who runs event handlers. On a database thread."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.db.models.functions import Now

from via_state.bookkeeping.database import leases, tables

if TYPE_CHECKING:
    from via_state.models import HandlerWorker


def alive() -> QuerySet[HandlerWorker]:
    """Those whose lease holds."""
    return leases.alive(tables.workers.rows())


def lease_of(worker: str) -> datetime | None:
    """Until when it is alive, as it is stored; None without a row."""
    return tables.workers.rows().filter(id=worker).values_list("lease_until", flat=True).first()


def extend(worker: str, worker_group: str, lease: float, known: datetime) -> bool:
    """`renew`, where the row is as it was left: alive until ``known``. False, and nothing is done, where it is not."""
    rows = tables.workers.rows().filter(id=worker, lease_until=known)
    return bool(rows.update(lease_until=leases.until(lease), worker_group=worker_group))


def renew(worker: str, worker_group: str, lease: float, peer: str) -> None:
    """Be alive in this group for ``lease`` seconds from now, in the process ``peer``."""
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


def group(worker_group: str) -> list[str]:
    """Who of the group is alive."""
    return sorted(alive().filter(worker_group=worker_group).values_list("id", flat=True))
