"""Leases of lanes: one pod at a time relays a lane, for as long as the database's clock says. On a database thread."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.db.models.functions import Now

from via_state.bookkeeping.database import tables
from via_state.conf import settings

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from via_state.models import OutboxLane

#: Parts of a project's keys.
LANES = 16


def lane_of(key: str) -> int:
    """The lane of a key."""
    return zlib.crc32(key.encode()) % LANES


def acquire(lane: int, owner: str, former: str) -> bool:
    """Take the lease of a lane that nobody holds. ``owner`` is a new name; a lease of ``former`` counts as given back."""
    free = Q(lease_owner__in=("", former)) | Q(lease_until__lt=Now())
    taken = {"lease_owner": owner, "lease_until": _end()}
    if _lanes().filter(free, lane=lane).update(**taken):
        return True
    if _lanes().filter(lane=lane).exists():
        return False
    tables.outbox_lanes.add(tables.outbox_lanes.new(lane=lane), keep=True)
    return bool(_lanes().filter(free, lane=lane).update(**taken))


def renew(lane: int, owner: str) -> bool:
    """Hold the lease for its whole length from now; False when it is another's."""
    return bool(_lanes().filter(lane=lane, lease_owner=owner).update(lease_until=_end()))


def release(lane: int, owner: str) -> None:
    """Give the lease back, if it is still this one."""
    _lanes().filter(lane=lane, lease_owner=owner).update(lease_owner="", lease_until=None)


def _end() -> Any:
    return Now() + timedelta(seconds=settings.OUTBOX_LEASE)


def _lanes() -> QuerySet[OutboxLane]:
    return tables.outbox_lanes.rows()
