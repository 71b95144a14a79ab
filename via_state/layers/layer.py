"""`BackplaneChannelLayer`: what Channels calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer

from via_state.backplanes.base import Hearing
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown
from via_state.layers import parcels
from via_state.layers.mailboxes import Mailboxes, Waiting
from via_state.layers.outlet import Outlet
from via_state.layers.parcels import Circular, Join, Leave, Letter, Parcel, Want
from via_state.pod.default import current_pod
from via_state.pod.pod import Pod

logger = logging.getLogger("via_state.layers")

#: Seconds after which a reader asks again for a message that any process may have.
WANT_AGAIN = 1.0
#: Seconds for which a process remembers who asked.
WANT_LIFE = 2 * WANT_AGAIN
#: Seconds that `group_add` waits for the backplane to hold the hearing; afterwards it holds as soon as it can.
HOLD = 2.0


class BackplaneChannelLayer(BaseChannelLayer):  # type: ignore[misc]
    """A channel layer over the backplane of ``VIA_STATE``: PostgreSQL, NATS, or memory.

    ``expiry``: seconds that a message waits for its reader. ``group_expiry``: seconds that a member stays in a group without being
    added again. ``capacity``: messages that wait for one channel; ``channel_capacity`` maps patterns of names to others.

    `send` raises ``ChannelFull``, `MessageTooLarge`, `BackplaneUnavailable` and `OutcomeUnknown`; `group_send` all but the first:
    a member whose channel is full misses the message, which is logged.
    """

    extensions = ("groups", "flush")

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        self.channel_capacity = self.compile_capacities(dict(channel_capacity or {}))
        self.group_expiry = group_expiry
        self._begin()

    def _begin(self) -> None:
        """What belongs to this process: nothing of it survives a fork."""
        self._pid = os.getpid()
        self.process = uuid.uuid4().hex
        self._attached = False  # whether this process hears what is for it, on that pod
        self._lock = threading.Lock()
        self._mailboxes = Mailboxes(self.get_capacity)
        self._groups: dict[str, dict[str, float]] = {}  # group, channel, until when
        self._wanted: dict[str, OrderedDict[str, float]] = {}  # channel, process, until when
        self._pod: Pod | None = None
        self._outlet: Outlet | None = None
        self._hearings: dict[str, Hearing] = {}  # by topic, on that pod
        self._held: set[str] = set()  # topics of those that the backplane held, once
        self._sending: set[asyncio.Task[None]] = set()

    def pod(self) -> Pod:
        """Whose backplane carries the messages."""
        return current_pod()

    # Channels ---------------------------------------------------------------------------------------------

    async def new_channel(self, prefix: str = "specific") -> str:
        """A name that only this process can read."""
        await self._attach()
        return f"{prefix}.{self.process}!{uuid.uuid4().hex}"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to the one reader of a channel. Raises ``ChannelFull`` where this process knows that too much waits there."""
        data = _packed(message)
        self.require_valid_channel_name(channel)
        await self._attach()
        owner = parcels.process_of(channel)
        if owner is None:
            await self._send_to_any(channel, data)
        elif owner != self.process:
            await self._tell(parcels.process_topic(owner), Letter(channel, data, self.expiry))
        elif not self._mailboxes.put(channel, data, time.monotonic() + self.expiry):
            raise ChannelFull

    async def receive(self, channel: str) -> dict[str, Any]:
        """The next message of a channel. Cancelled, it takes none."""
        self.require_valid_channel_name(channel)
        await self._attach()
        owner = parcels.process_of(channel)
        if owner is None:
            return parcels.to_message((await self._receive_from_any(channel)).data)
        assert owner == self.process, (
            f"{channel!r} is a channel of another process: only that one can receive from it."
        )
        return parcels.to_message((await self._mailboxes.take(channel)).data)

    # Channels that any process may read ---------------------------------------------------------------------

    async def _send_to_any(self, channel: str, data: bytes) -> None:
        """To a reader of this process, or of one that asked; otherwise it waits here."""
        if not self._mailboxes.has_reader(channel):
            with self._lock:
                asker = self._asker(channel)
            if asker is not None:
                await self._tell(parcels.process_topic(asker), Letter(channel, data, self.expiry))
                return
        if not self._mailboxes.put(channel, data, time.monotonic() + self.expiry):
            raise ChannelFull

    async def _receive_from_any(self, channel: str) -> Waiting:
        if (one := self._mailboxes.pop(channel)) is not None:
            return one
        taking = asyncio.ensure_future(self._mailboxes.take(channel))
        try:
            while not taking.done():
                with contextlib.suppress(BackplaneUnavailable, OutcomeUnknown):  # asked again soon
                    await self._tell(parcels.WANTS, Want(channel, self.process))
                await asyncio.wait({taking}, timeout=WANT_AGAIN)
            return taking.result()
        except BaseException:
            if taking.done() and not taking.cancelled():
                self._mailboxes.put_back(channel, taking.result())
            taking.cancel()
            raise

    def _asker(self, channel: str) -> str | None:
        """A process that asked for a message, and has not got one of ours since."""
        askers = self._wanted.get(channel, OrderedDict())
        while askers:
            process, until = askers.popitem(last=False)
            if until > time.monotonic():
                return process
        self._wanted.pop(channel, None)
        return None

    def _give_to(self, want: Want) -> None:
        """Another process has a reader: what waits here goes there, or what comes next."""
        if want.process == self.process:
            return
        one = self._mailboxes.pop(want.channel)
        if one is None:
            with self._lock:
                askers = self._wanted.setdefault(want.channel, OrderedDict())
                askers[want.process] = time.monotonic() + WANT_LIFE
                if len(self._wanted) > 1000:
                    self._wanted.pop(next(iter(self._wanted)))
            return

        async def give() -> None:
            try:
                letter = Letter(want.channel, one.data, one.until - time.monotonic())
                await self._tell(parcels.process_topic(want.process), letter)
            except BackplaneUnavailable:
                self._mailboxes.put_back(want.channel, one)
            except OutcomeUnknown:
                logger.info("A message of %r may be lost: no answer came when it was sent on.", want.channel)

        self._soon(give())

    # Groups -----------------------------------------------------------------------------------------------

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member, for ``group_expiry`` seconds. Twice is harmless."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        await self._attach()
        owner = parcels.process_of(channel)
        if owner is not None and owner != self.process:
            await self._tell(parcels.process_topic(owner), Join(group, channel))
            return
        with self._lock:
            self._groups.setdefault(group, {})[channel] = time.monotonic() + self.group_expiry
        await self._hear(parcels.group_topic(group))

    async def group_discard(self, group: str, channel: str) -> None:
        """Make it no member any more. Unknown ones are ignored."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        await self._attach()
        if not self._leave(group, channel) and parcels.process_of(channel) != self.process:
            await self._tell(parcels.group_topic(group), Leave(group, channel))

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to all members, in every process."""
        self.require_valid_group_name(group)
        data = _packed(message)
        await self._attach()
        await self._tell(parcels.group_topic(group), Circular(group, data, self.expiry))

    def _leave(self, group: str, channel: str) -> bool:
        """Whether it was a member here."""
        with self._lock:
            members = self._groups.get(group, {})
            was = members.pop(channel, None) is not None
            emptied = was and not members
            if emptied:
                del self._groups[group]
        if emptied:
            self._hear_no_more(group)
        return was

    def _deliver(self, circular: Circular) -> None:
        now = time.monotonic()
        with self._lock:
            members = dict(self._groups.get(circular.group, {}))
        full = 0
        for channel, until in members.items():
            if until < now:
                self._leave(circular.group, channel)
            elif parcels.process_of(channel) is None:
                self._soon(self._send_quietly(channel, circular.message))
            elif not self._mailboxes.put(channel, circular.message, now + circular.seconds):
                full += 1
        if full:
            logger.info("%s of %s channels over capacity in group %s", full, len(members), circular.group)

    async def _send_quietly(self, channel: str, data: bytes) -> None:
        with contextlib.suppress(ChannelFull, BackplaneUnavailable, OutcomeUnknown):
            await self._send_to_any(channel, data)

    # ------------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Forget this process's messages and groups. What other processes keep stays."""
        await self._attach()
        with self._lock:
            groups = list(self._groups)
            self._groups.clear()
            self._wanted.clear()
        self._mailboxes.clear()
        for group in groups:
            self._hear_no_more(group)

    async def _attach(self) -> None:
        """Hear what others say, on the pod that this process has now."""
        pod = self.pod()
        if self._attached and pod is self._pod:
            return
        if os.getpid() != self._pid:
            self._begin()
        groups = list[str]()
        with self._lock:
            if pod is not self._pod:
                self._pod, self._hearings, self._held, self._attached = pod, {}, set(), False
                self._outlet = Outlet(pod)
                groups = list(self._groups)
        for topic in (parcels.process_topic(self.process), parcels.WANTS, *map(parcels.group_topic, groups)):
            await self._hear(topic)
        self._attached = pod is self._pod

    async def _hear(self, topic: str) -> None:
        if topic in self._held:
            return
        pod, hearings, held = self._pod, self._hearings, self._held
        assert pod is not None

        async def hear() -> None:
            if topic not in hearings:
                hearings[topic] = pod.messages.hear(topic, self._heard)
            hearing = hearings[topic]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOLD):
                    await hearing.holds()
            if hearings.get(topic) is hearing:
                held.add(topic)

        await pod.thread.acall(hear())

    def _hear_no_more(self, group: str) -> None:
        topic = parcels.group_topic(group)
        pod, hearings, held = self._pod, self._hearings, self._held
        assert pod is not None

        async def close() -> None:
            if group not in self._groups:  # nobody joined meanwhile
                held.discard(topic)
                hearing = hearings.pop(topic, None)
                if hearing is not None:
                    await hearing.close()

        with contextlib.suppress(Closed):
            pod.thread.submit(close())

    def _heard(self, data: bytes) -> None:
        """On the pod's loop."""
        try:
            parcel = parcels.decode(data)
        except msgspec.DecodeError as error:
            logger.warning("A message of a process with other code was dropped: %s", error)
            return
        match parcel:
            case Letter(channel, message, seconds):
                if not self._mailboxes.put(channel, message, time.monotonic() + seconds):
                    logger.info("The channel %s is full; a message of another process was dropped.", channel)
            case Circular():
                self._deliver(parcel)
            case Want():
                self._give_to(parcel)
            case Join(group, channel):
                self._soon(self.group_add(group, channel))
            case Leave(group, channel):
                self._leave(group, channel)

    def _soon(self, coroutine: Any) -> None:
        """On the pod's loop, where this is called."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _tell(self, topic: str, parcel: Parcel) -> None:
        assert self._outlet is not None
        await self._outlet.publish(topic, parcels.encode(parcel))


def _packed(message: dict[str, Any]) -> bytes:
    if not isinstance(message, dict):
        raise TypeError(f"A message is a dict, not {type(message).__name__}.")
    assert "__asgi_channel__" not in message
    return parcels.pack(message)
