"""What one pod says to tabs everywhere, and what it hears for its own."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

import msgspec

from via_state import telemetry
from via_state.conf import settings
from via_state.exceptions import BroadcastFailed, BroadcastTooLarge, BroadcastTooOften, Closed
from via_state.live.announcing import announcement
from via_state.live.announcing.announcement import (
    Again,
    Announcement,
    Code,
    Content,
    Latest,
    Refresh,
    What,
)
from via_state.live.announcing.audience import ALL, To
from via_state.live.announcing.carriers.base import TOPIC, Carrier
from via_state.live.announcing.carriers.choice import make_carrier
from via_state.live.announcing.deeds import deed, kind_of
from via_state.live.announcing.inboxes import Inbox
from via_state.live.announcing.repair import Repair
from via_state.live.protocol.limits import TokenBucket
from via_state.live.serving import hubs
from via_state.live.serving.hub import Hub
from via_state.pod.companions import Companions
from via_state.pod.pod import Pod
from via_state.runtime.service import Service

#: Seconds of ``BROADCAST_RATE`` that may be said at once.
BURST = 5
#: Seconds that a caller waits for the loops of this process's tabs.
WAIT = 2.0


class Announcer(Service):
    """Lives from the first announcement, or the first tab, to the pod's end. All on the pod's loop, except where it says so."""

    name = "The announcer"

    def __init__(self, pod: Pod) -> None:
        self._of = ref(pod)  # which holds us
        self._id = secrets.token_hex(8)
        self._numbers = 0
        self._carrier: Carrier | None = None
        self._inboxes: WeakKeyDictionary[Hub, Inbox[Hub]] = WeakKeyDictionary()
        self._hearing = False
        self._rate, self._bucket = 0, TokenBucket(0, 0, 0)
        self._repair = Repair(self._id, self._again)

    @property
    def _pod(self) -> Pod:
        pod = self._of()
        if pod is None or pod.closed:
            raise Closed("The pod was closed.")
        return pod

    @property
    def carrier(self) -> Carrier:
        """What takes announcements to other processes."""
        if self._carrier is None:
            self._carrier = make_carrier(self._pod)
        return self._carrier

    async def hear(self) -> None:
        """From now on: tell this pod's tabs what others say. Twice is harmless."""
        if not self._hearing:
            self.carrier.hear(self._heard)
            self._hearing = True

    async def say(self, what: What, to: To = ALL) -> int:
        """Tell this pod's tabs, and those of all others. How many of this pod's it was for, where it is a `Content`.

        Raises `BroadcastTooLarge` and `BroadcastTooOften` before anything is told, `BroadcastFailed` after this pod's were, `Closed`.
        """
        pod = self._pod
        if settings.BROADCAST_KEEP:
            await self.hear()
        said = Announcement(self._id, self._numbers, what, to)
        data = announcement.encode(said)
        most = min(announcement.MOST, self.carrier.max_bytes)
        if len(data) > most:
            raise BroadcastTooLarge(
                f"The message takes {len(data)} bytes, and a broadcast carries {most}. Nothing was sent. Broadcast that "
                "something is new, and let the page show it: a live block, or state, may be larger."
            )
        if isinstance(what, Content | Refresh):  # not what takes rights away
            self._refuse_too_often()
        self._numbers += 1
        here = [self._tell(hub, said) for hub in hubs.hubs_of(pod)]
        error = await self._published(data, said.number)
        count = await self._answers(here)
        if isinstance(what, Content):
            telemetry.Broadcasted(kind_of(what), count).emit()
        if error is not None:
            telemetry.BroadcastFailed().emit()
            raise BroadcastFailed(
                f"{count} tabs of this process were told; whether those of others are is not known: the {self.carrier.name} "
                f"did not take the message ({type(error).__name__}: {error})."
            ) from error
        return count

    def _refuse_too_often(self) -> None:
        now, rate = time.monotonic(), settings.BROADCAST_RATE
        if rate != self._rate:
            self._rate, self._bucket = rate, TokenBucket(BURST * rate, rate, now)
        if not self._bucket.take(now):
            raise BroadcastTooOften(
                f"This process says more than {rate} broadcasts a second (BROADCAST_RATE). Nothing was sent. Keep what changes often in "
                "state, which live pages show at their own pace, or broadcast less."
            )

    async def _published(self, data: bytes, number: int) -> Exception | None:
        self._repair.said(data, number)
        try:
            await self.carrier.publish(data)
        except Closed:
            raise
        except Exception as error:
            return error
        return None

    async def _again(self, data: bytes) -> None:
        with suppress(Exception):  # the gap is found again, and asked for again
            await self.carrier.publish(data)

    # To this pod's tabs -----------------------------------------------------------------------------------

    def _tell(self, hub: Hub, said: Announcement) -> Any:
        inbox = self._inboxes.get(hub)
        if inbox is None:
            inbox = self._inboxes[hub] = Inbox(hub, hub.loop, lambda: _dropped("full"))
        return inbox.put(deed(said))

    async def _answers(self, here: list[Any]) -> int:
        """A loop that does not answer in time has no live tabs."""
        if not here:
            return 0
        done, _ = await asyncio.wait([asyncio.wrap_future(one) for one in here], timeout=WAIT)
        return sum(one.result() for one in done)

    def _heard(self, data: bytes) -> None:
        try:
            said = announcement.decode(data)
        except (msgspec.MsgspecError, RecursionError):
            return _dropped("form")
        if said.sender == self._id or not self._repair.heard(said):
            return None
        if isinstance(said.what, Latest | Again):
            return None
        if isinstance(said.what, Code) and not settings.LIVE_SCRIPTS:
            return _dropped("scripts")
        for hub in hubs.hubs_of(self._pod):
            self._tell(hub, said)
        return None

    async def settle(self) -> None:
        """Nothing is under way on this side once `say` has answered."""

    async def _stop(self) -> None:
        self._repair.stop()
        if self._carrier is not None:
            await self._carrier.close()


def _dropped(reason: str) -> None:
    telemetry.MessageDropped(TOPIC, reason).emit()


_announcers = Companions(Announcer)
announcer_of = _announcers.of


def hear_for(hub: Hub) -> None:
    """A pod has tabs: it hears what others say. From any thread."""
    with suppress(Closed):
        hub.pod.thread.submit(announcer_of(hub.pod).hear())


hubs.on_new_hub.append(hear_for)
