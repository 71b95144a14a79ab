"""What is not served: counted, and logged once a minute for each reason."""

from __future__ import annotations

import logging

from via_state import telemetry
from via_state.logs import Sparing, about

logger = logging.getLogger("via_state.live")
_sparing = Sparing()


def refuse(reason: str, text: str) -> None:
    """Somebody was not served. ``text`` says why, without anything that they sent."""
    telemetry.TabRefused(reason).emit()
    if _sparing.due(reason):
        logger.warning("A live connection was refused. %s", text, extra=about(reason=reason))
