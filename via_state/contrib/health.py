"""A check for django-health-check 4: whether this process is well, and whether the project's state needs somebody."""

from __future__ import annotations

import asyncio
import dataclasses

from django.db import Error as DatabaseFailure
from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from via_state import health
from via_state.exceptions import ViaStateError
from via_state.operations import condition as books
from via_state.operations.doctor.catalog import IDS
from via_state.operations.doctor.doctor import needs
from via_state.pod.default import current_pod

__all__ = ["ViaState"]


@dataclasses.dataclass
class ViaState(HealthCheck):  # type: ignore[misc]  # it has no types
    """Unavailable: the loop of this process hangs, the process ends, or its backplane is away. A warning: keys or event handlers are
    halted, dead letters wait, and so on: what ``manage.py state_overview`` lists, by its ids; nothing of the project's data.

    ``cluster``: False looks at this process only, and asks no database.
    """

    cluster: bool = True

    async def run(self) -> None:
        """Raises ``ServiceUnavailable`` and ``ServiceWarning``."""
        if dead := health.why_dead():
            raise ServiceUnavailable(dead)
        pod = current_pod()
        pod.thread.soon(pod.begin)  # so that it hears of its backplane
        if unready := health.why_unready(pod):
            raise ServiceUnavailable(unready)
        if not self.cluster or not pod.books.shared:
            return
        try:
            condition = await asyncio.wrap_future(pod.thread.submit(pod.database.run(books.read)))
            found = dict.fromkeys(one.id for one in needs(condition))
        except (DatabaseFailure, ViaStateError) as error:
            raise ServiceWarning(
                f"What handlers and keys say can't be read: {type(error).__name__}. See manage.py state_doctor."
            ) from error
        if found:
            said = "; ".join(f"{IDS[id]} ({id})" for id in found)
            raise ServiceWarning(f"{said}. See manage.py state_overview.")
