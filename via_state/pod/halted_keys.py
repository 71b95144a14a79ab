"""Keys that stand still on this pod, as rows: so that a command and the admin see them, wherever they run."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple, Protocol

from django.db import Error as DatabaseFailure
from django.db import transaction
from django.db.models.functions import Now

from via_state.conf import settings
from via_state.core.projection import Unread
from via_state.runtime.worker_threads import WorkerThreads

logger = logging.getLogger("via_state.pod")

RENEW = 30.0  # seconds
#: A row that nobody renewed for so long belongs to a pod that died.
STALE = timedelta(seconds=4 * RENEW)


class HaltReport(NamedTuple):
    """Why a key stands still, or is no longer snapshotted."""

    reason: str
    text: str
    offset: int


def trouble_of(diverged: str | None, unread: Unread | None, offset: int) -> HaltReport | None:
    """What is wrong with a projection that does not stand still."""
    if diverged is not None:
        return HaltReport("divergence", diverged, offset)
    if unread is None:
        return None
    text = f"{unread}, so the value lacks it and is not snapshotted: manage.py check --database names what can't be read"
    return HaltReport("unreadable", text, unread.offset)


class Haltable(Protocol):
    """A projector, as it is seen here."""

    key: str

    def halt_report(self) -> HaltReport | None:
        """What is wrong with it now."""


class HaltedKeys:
    """Keeps the rows of one pod. ``projectors`` gives those that it holds."""

    def __init__(self, pod_id: str, database: WorkerThreads) -> None:
        self._pod_id = pod_id
        self._database = database
        self._written: dict[str, HaltReport] = {}
        self._renew_at = 0.0

    async def update(self, projectors: Iterable[Haltable]) -> None:
        """Write what changed since the last time; renew the rest now and then."""
        found = {one.key: trouble for one in projectors if (trouble := one.halt_report()) is not None}
        due = bool(found) and time.monotonic() >= self._renew_at
        if found == self._written and not due:
            return
        try:
            await self._database.run(_write, self._pod_id, self._written, found)
        except DatabaseFailure as error:
            logger.warning("The list of halted keys could not be written: %s", error)
            return
        self._written, self._renew_at = found, time.monotonic() + RENEW


def _write(pod: str, before: dict[str, HaltReport], now: dict[str, HaltReport]) -> None:
    from via_state.models import HaltedKey  # models load after this module does

    rows = HaltedKey.objects.using(settings.DATABASE).filter(prefix=settings.PREFIX)
    with transaction.atomic(using=settings.DATABASE):
        rows.filter(seen__lt=Now() - STALE).delete()
        rows.filter(pod=pod, key__in=[key for key, trouble in before.items() if now.get(key) != trouble]).delete()
        rows.filter(pod=pod).update(seen=Now())
        HaltedKey.objects.using(settings.DATABASE).bulk_create(
            [
                HaltedKey(
                    prefix=settings.PREFIX,
                    key=key,
                    pod=pod,
                    host=socket.gethostname()[:200],
                    reason=trouble.reason,
                    text=trouble.text,
                    offset=trouble.offset,
                    since=Now(),
                    seen=Now(),
                )
                for key, trouble in now.items()
                if before.get(key) != trouble
            ]
        )
