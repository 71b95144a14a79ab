"""What is not served: counted, and logged once a minute for each reason. What fails of the project's own is logged as rarely."""

from __future__ import annotations

import logging

from via_state import telemetry
from via_state.logs import Sparing, about

logger = logging.getLogger("via_state.live")
_sparing = Sparing()
_failures = Sparing()


def refuse(reason: str, text: str) -> None:
    """Somebody was not served. ``text`` says why, without anything that they sent."""
    telemetry.TabRefused(reason).emit()
    if _sparing.due(reason):
        logger.warning("A live connection was refused. %s", text, extra=about(reason=reason))


def fragment_failed(name: str, error: Exception) -> None:
    """Code of the project's raised that says what a fragment shows, or to whom."""
    if _failures.due(name):
        logger.error(
            "The fragment %r raised. Tabs that show it mark it as stale, and ask again.",
            name,
            exc_info=error,
            extra=about(reason="fragment"),
        )
