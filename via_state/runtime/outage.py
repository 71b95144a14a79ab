"""Something that does not answer: log lines when that begins, lasts and ends, and events when it is long."""

from __future__ import annotations

import logging
import time

from via_state import telemetry
from via_state.runtime.database_errors import refused
from via_state.runtime.servers import server_of, servers

#: Seconds after which an outage is long: it is told, and said once more.
LONG = 60.0


class Outage:
    """The outages of one thing. ``what`` begins a sentence: "The outbox". ``kind`` groups them for `telemetry.OutageLasts`.

    One line when it stops answering (``quiet``: at debug, where somebody else says that), one when that has lasted for a minute,
    one when it answers again; the rest at debug. A server that answers and refuses is said at once, and counts as long:
    waiting does not help. Where errors name a server that did not answer, `servers` says that, once for all that need it, when it
    did not answer twice: a connection that lay idle may have broken while the server was away, and is noticed when it is back.
    """

    __slots__ = ("__weakref__", "_level", "_logger", "_server", "_since", "_told", "kind", "long", "what")

    def __init__(self, logger: logging.Logger, what: str, kind: str = "other", *, quiet: bool = False) -> None:
        self._logger, self.what, self.kind = logger, what, kind
        self._level = logging.DEBUG if quiet else logging.WARNING
        self._since: float | None = None
        self._server, self._told = (
            "",
            False,
        )  # that is away; whether a line of this one's own said that something is
        #: Whether it has lasted for a minute, or is a refusal.
        self.long = False

    def parts(self, count: int) -> list[OutagePart]:
        """This outage as ``count`` things see it that fail together."""
        failing: set[OutagePart] = set()
        return [OutagePart(self, failing) for _ in range(count)]

    @property
    def seconds(self) -> float:
        """For how long it has been away; 0 while it answers."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def failed(self, error: BaseException, *, expected: bool = True) -> None:
        """It did not answer. What was not ``expected`` is logged with its traceback."""
        first = self._since is None
        if self.lasts(error):
            return
        loud = self._level > logging.DEBUG
        server = server_of(error) if expected and loud and not self._told and not self._server else ""
        if server and not first:
            self._server = server
            servers.away(server, self, error)
        elif server or not first:
            self._logger.debug("%s still fails: %s", self.what, error)
            return
        elif expected:
            self._logger.log(self._level, "%s is away, and is tried again until it answers: %s", self.what, error)
        else:
            self._logger.error("%s failed, and is tried again until it works.", self.what, exc_info=error)
        self._told = loud and not self._server

    def lasts(self, error: BaseException) -> bool:
        """It fails, which somebody else says. True where that has become long, which is said here."""
        self._since = self._since or time.monotonic()
        said_no = refused(error)
        if self.long or not (said_no or self.seconds >= LONG):
            return False
        self.long = True
        telemetry.OutageLasts(self.kind, self.what).emit()
        if said_no:
            self._logger.error("%s is refused, and waiting does not help: %s", self.what, error)
        else:
            text = "%s has failed for %.0f s, and is still tried again: %s"
            first = not self._server or servers.lasts(self._server)
            self._logger.log(logging.WARNING if first else logging.DEBUG, text, self.what, self.seconds, error)
        return True

    def answered(self) -> None:
        """It works."""
        if self._since is not None:
            level = logging.INFO if not self._server and (self.long or self._told) else logging.DEBUG
            self._logger.log(level, "%s works again, after %.1f s.", self.what, time.monotonic() - self._since)
            self.over()

    def over(self) -> None:
        """It works, or is no longer tried."""
        if self.long:
            telemetry.OutageEnded(self.kind, self.what).emit()
        if self._server:
            servers.answered(self._server, self)
        self._since, self.long, self._server, self._told = None, False, "", False


class OutagePart:
    """One of several that fail together: their outage begins with the first that fails, and ends with the last that works again."""

    __slots__ = ("_failing", "_whole")

    def __init__(self, whole: Outage, failing: set[OutagePart]) -> None:
        self._whole, self._failing = whole, failing

    @property
    def long(self) -> bool:
        """Whether this one fails, and the outage has become long."""
        return self in self._failing and self._whole.long

    def failed(self, error: BaseException, *, expected: bool = True) -> None:
        """See `Outage.failed`."""
        self._failing.add(self)
        self._whole.failed(error, expected=expected)

    def lasts(self, error: BaseException) -> bool:
        """See `Outage.lasts`."""
        self._failing.add(self)
        return self._whole.lasts(error)

    def answered(self) -> None:
        """This one works."""
        self._failing.discard(self)
        if not self._failing:
            self._whole.answered()

    def over(self) -> None:
        """This one works, or is no longer tried."""
        self._failing.discard(self)
        if not self._failing:
            self._whole.over()
