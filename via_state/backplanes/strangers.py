"""What lies among our rows and messages and is not ours: passed over, so that one such item costs no other key anything."""

from __future__ import annotations

import logging

from via_state import telemetry
from via_state.backplanes.base import check_key
from via_state.core.text import one_line
from via_state.exceptions import InvalidKey

logger = logging.getLogger("via_state")

#: Items that are remembered, so that each is logged once. Of more, nothing is logged.
TOLD = 100


class Strangers:
    """Counts them, and logs each once. ``server``: whose they are, as "NATS"."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._told: set[str] = set()

    def has_key(self, what: str, key: str) -> bool:
        """Whether an item is one of a key that we take. One that is not was met."""
        try:
            check_key(key)
        except InvalidKey as error:
            self.met(f"{what} {key!r:.80}", str(error))
            return False
        return True

    def met(self, what: str, why: str) -> None:
        """``what`` names the item for whoever looks for it there; ``why`` it can't be ours."""
        telemetry.StrangerMet(self._server).emit()
        if what in self._told or len(self._told) == TOLD:
            return
        self._told.add(what)
        logger.warning(
            "%s holds something that via_state did not write, and it is skipped: %s, %s. Remove it if it is nobody's.",
            self._server,
            one_line(what, 300),
            why,
        )
