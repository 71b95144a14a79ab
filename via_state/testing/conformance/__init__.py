"""The contract of a backplane as tests. An adapter that passes them works with everything else.

Needs pytest and pytest-asyncio. Subclass `BackplaneConformance` in a test module and give it ``make``::

    class TestMyBackplane(BackplaneConformance):
        def make(self):
            return MyBackplane({...})  # over the same data each time within one test, empty at its start
"""

from __future__ import annotations

import pytest

from via_state.testing.conformance.changes import ChangesConformance
from via_state.testing.conformance.closing import ClosingConformance
from via_state.testing.conformance.compaction import CompactionConformance
from via_state.testing.conformance.evidence import EvidenceConformance
from via_state.testing.conformance.log import LogConformance
from via_state.testing.conformance.many_logs import ManyLogsConformance
from via_state.testing.conformance.messages import MessagesConformance
from via_state.testing.conformance.store import StoreConformance


@pytest.mark.asyncio
class BackplaneConformance(
    LogConformance,
    ManyLogsConformance,
    EvidenceConformance,
    CompactionConformance,
    StoreConformance,
    ChangesConformance,
    MessagesConformance,
    ClosingConformance,
):
    """Override `make`, and `rewrite_history` where the adapter's data can be restored or edited from outside."""


__all__ = ["BackplaneConformance"]
