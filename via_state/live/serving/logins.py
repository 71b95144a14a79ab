"""What this process knows of sessions whose pages come back: a session cookie and a page's source outlive a logout."""

from __future__ import annotations

import threading
from collections import OrderedDict

#: Sessions that are known. Of one that is forgotten, tabs are found at the next look at all of them.
MOST = 10_000


class Logins:
    """By the digests of sessions, as `Ticket.session` has them. From any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[str, float | None] = OrderedDict()
        self._lock = threading.Lock()

    def doubt(self, session: str) -> None:
        """It was said, or seen, to be over: ask the database before a page of it is served again."""
        self._put(session, None)

    def prove(self, session: str, now: float) -> None:
        """The database has it at this time."""
        self._put(session, now)

    def doubted(self, session: str) -> bool:
        """Whether it was over when somebody looked last."""
        return self._known.get(session, 0.0) is None

    def proven(self, session: str, now: float, age: float) -> bool:
        """Whether the database had it within so many seconds."""
        at = self._known.get(session)
        return at is not None and now - at < age

    def _put(self, session: str, at: float | None) -> None:
        if session:
            with self._lock:
                self._known[session] = at
                self._known.move_to_end(session)
                if len(self._known) > self._most:
                    self._known.popitem(last=False)


#: Those of this process.
logins = Logins()
