"""Nobody looks at what a process does where nothing outlives it."""

from __future__ import annotations

from collections.abc import Mapping

from via_state.bookkeeping.rates import Done, RateStore, What


class NoRates(RateStore):
    async def add(self, counted: Mapping[What, Done]) -> None:
        """Metrics tell it."""
