"""Emptying a cell: a reset, and the end of what it belongs to."""

from __future__ import annotations

import time
from typing import Any

from via_state.conf import settings
from via_state.core.records import Revision
from via_state.core.specs import CellSpec
from via_state.pod.reading.replicas import Replicas
from via_state.runtime.backoff import patiently


async def reset(replicas: Replicas, key: str, spec: CellSpec[Any], force: bool) -> Revision | None:
    """Remove the stored value; the revision that is stored afterwards. ``force`` also removes one that can't be read."""
    cell = replicas.cell(key, spec)
    deadline = time.monotonic() + settings.UPDATE_TIMEOUT
    await patiently(settings.UPDATE_TIMEOUT, f"Resetting {key!r}", lambda: cell.reset(force, deadline))
    return cell.stored


async def end(replicas: Replicas, key: str, spec: CellSpec[Any]) -> Revision | None:
    """Leave a tombstone; the revision that is stored afterwards."""
    cell = replicas.cell(key, spec)
    deadline = time.monotonic() + settings.UPDATE_TIMEOUT
    await patiently(settings.UPDATE_TIMEOUT, f"Ending {key!r}", lambda: cell.end(deadline))
    return cell.stored
