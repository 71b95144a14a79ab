"""Logs of sessions end with their session: nobody reads them any more, what is appended too late is removed, and so is what is left.

The list at a session's home says whether the session lives, and each of its logs is on it before its first append. So a log
whose home has ended, or is gone, belongs to nobody: after a logout whose process died, or where the session expired.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.core.records import Position
from via_state.exceptions import AppendOutcomeUnknown, BackplaneUnavailable, SessionEnded, ViaStateError
from via_state.pod import members
from via_state.pod.members import HomeStatus
from via_state.runtime.backoff import patiently
from via_state.runtime.periodic import Periodic

if TYPE_CHECKING:
    from via_state.bookkeeping.erasures import ErasureStore
    from via_state.pod.pod import Pod

logger = logging.getLogger("via_state.sessions")

#: What the keys of session state begin with.
SESSIONS = "via.sess."
#: Seconds between two looks, and pages of logs in one.
INTERVAL, PAGES = 60.0, 10
#: Seconds for which a home must be gone before its logs are removed: cells may be restored after logs.
GONE = 600.0


def home_of(key: str) -> str | None:
    """The home of the session whose key it is; None for any other key."""
    sid, dot, _ = key.removeprefix(SESSIONS).partition(".")
    return SESSIONS + sid if key.startswith(SESSIONS) and dot else None


async def outlived(backplane: Backplane, key: str) -> bool:
    """Whether it is the key of a session that has ended or is gone."""
    home = home_of(key)
    return home is not None and await members.status(backplane, home) is not HomeStatus.LIVES


async def confirm(pod: Pod, home: str, template: str, key: str, ttl: float) -> None:
    """After an append: the session has not ended before it. Raises `SessionEnded`, when the log is removed again."""

    async def look() -> HomeStatus:
        return await members.status(pod.backplane, home)

    while True:
        try:
            found = await patiently(settings.APPEND_TIMEOUT, "Looking whether the session lives", look)
        except BackplaneUnavailable as error:
            raise AppendOutcomeUnknown(
                f"The event is in the log, unless the session has ended meanwhile; that could not be looked up. {error}"
            ) from error
        if found is HomeStatus.LIVES:
            return
        if found is HomeStatus.ENDED:
            with suppress(ViaStateError):  # or `EndedSessions` removes it
                await pod.erasures.remove_log(f"{home}.{key}")
            raise SessionEnded("The session was ended by a logout. Bind to the new session.")
        # It was forgotten, or has expired, in between: what is written now is state again.
        await pod.aupdate(home, members.spec_of(ttl), lambda old: old.including(template, key))


class EndedSessions(Periodic):
    """Removes logs of sessions that are no more, and what is kept about them, as one pod finds them."""

    def __init__(self, pod: Pod, store: ErasureStore, *, gone: float = GONE) -> None:
        super().__init__("The removal of ended sessions' logs", self.sweep, lambda: INTERVAL, later=True)
        self._pod, self._store, self._gone = pod, store, gone
        self._after = self._stored_after = ""
        #: Since when a home was seen to be gone.
        self._since: dict[str, float] = {}

    async def sweep(self) -> None:
        """Look at some logs, and at some of what is kept about logs: the next time at those that follow."""
        for _ in range(PAGES):
            page = await self._pod.backplane.logs(self._after)
            await self._remove({key: head.position for key, head in page.items()})
            self._after = next(reversed(page), "")
            if not page:
                break
        stored = await self._store.keys(SESSIONS, self._stored_after)
        await self._remove(dict.fromkeys(stored))
        self._stored_after = stored[-1] if stored else ""

    async def _remove(self, logs: dict[str, Position | None]) -> None:
        homes = {key: home for key in logs if (home := home_of(key)) is not None}
        dead = await self._dead(set(homes.values()))
        for key, home in homes.items():
            if home in dead:
                await self._pod.erasures.remove_log(key, logs[key])

    async def _dead(self, homes: Iterable[str]) -> set[str]:
        found, now = set(), time.monotonic()
        for home, status in (await members.statuses(self._pod.backplane, homes)).items():
            if status is not HomeStatus.GONE:
                self._since.pop(home, None)
            if status is HomeStatus.ENDED or (
                status is HomeStatus.GONE and now - self._since.setdefault(home, now) >= self._gone
            ):
                found.add(home)
        for home in found:
            self._since.pop(home, None)
        return found

    async def settle(self) -> None:
        """Nothing that was asked for waits here."""
