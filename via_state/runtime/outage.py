"""Log lines about something that is away: one when it stops answering, one when it answers again, the rest at debug."""

from __future__ import annotations

import logging
import time


class Outage:
    """The outages of one thing. ``what`` begins a sentence: "The outbox"."""

    __slots__ = ("_logger", "_since", "what")

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger, self.what = logger, what
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """For how long it has been away; 0 while it answers."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def failed(self, error: BaseException, *, expected: bool = True) -> None:
        """It did not answer. What was not ``expected`` is logged with its traceback."""
        first, self._since = self._since is None, self._since or time.monotonic()
        if not first:
            self._logger.debug("%s still fails: %s", self.what, error)
        elif expected:
            self._logger.warning("%s is away, and is tried again until it answers: %s", self.what, error)
        else:
            self._logger.error("%s failed, and is tried again until it works.", self.what, exc_info=error)

    def answered(self) -> None:
        """It works."""
        if self._since is not None:
            self._logger.info("%s works again, after %.1f s.", self.what, time.monotonic() - self._since)
            self._since = None
