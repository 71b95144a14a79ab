"""Doorbells: the server tells whoever listens for a key that a message of it was stored. And messages that no stream keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from via_state.backplanes.base import Hear, Hearing, Ring, Watch
from via_state.backplanes.hearings import Hearings, tell
from via_state.backplanes.listening import Listening
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.connections import Connections
from via_state.backplanes.nats.subjects import Subjects
from via_state.backplanes.nats.tokens import token_of

logger = logging.getLogger("via_state")

#: Seconds until the server must have taken the subscriptions.
FLUSH_TIMEOUT = 10


class Listener:
    """Listens for all watches and hearings of a process, on its connection, for ever. The server is asked for the watched keys
    and the heard topics only.
    """

    def __init__(self, connections: Connections, subjects: Subjects) -> None:
        self._connections, self._subjects = connections, subjects
        self._watches: set[_NatsWatch] = set()
        self._keys: dict[str, str] = {}  # by token, of all that somebody watches
        self._hearings = Hearings(lambda topic: self._tell(subjects.live + topic))
        self._unsaid: set[str] = set()  # subjects that came or went since the server was told
        self._woken = asyncio.Event()
        self._listening = Listening(logger, self._session, Error)

    def watch(self, ring: Ring) -> Watch:
        watch = _NatsWatch(self, ring)
        self._watches.add(watch)
        self._listening.start()
        return watch

    def hear(self, topic: str, hear: Hear) -> Hearing:
        hearing = self._hearings.add(topic, hear)
        self._listening.start()
        return hearing

    def want(self, key: str) -> None:
        """Somebody watches a key."""
        token = token_of(key)
        if token not in self._keys:
            self._keys[token] = key
            self._tell(self._subjects.bells + token)

    def leave(self, key: str) -> None:
        """Somebody watches it no longer."""
        if not any(key in watch.keys for watch in self._watches):
            token = token_of(key)
            del self._keys[token]
            self._tell(self._subjects.bells + token)

    def forget(self, watch: _NatsWatch) -> None:
        """A watch is closed."""
        if watch in self._watches:
            self._watches.discard(watch)
            for key in watch.keys:
                self.leave(key)

    def _tell(self, subject: str) -> None:
        self._unsaid.add(subject)
        self._woken.set()

    async def _session(self) -> None:
        connection = await self._connections.get()
        self._listening.holds()
        await self._listen(connection)

    async def _listen(self, connection: Connection) -> None:
        subscribed: dict[str, Subscription] = {}
        connection.when_ended = self._woken.set
        self._unsaid.update(self._subjects.bells + token for token in self._keys)
        self._unsaid.update(self._subjects.live + topic for topic in self._hearings.topics())
        await self._subscribe(connection, subscribed)
        await connection.flush(FLUSH_TIMEOUT)
        self._rang(None)  # while nobody listened, anything may have changed
        self._hearings.hold(self._topics_in(subscribed))
        try:
            while connection.alive:
                await self._woken.wait()
                topics = self._topics_in(await self._subscribe(connection, subscribed))
                if topics:
                    await connection.flush(FLUSH_TIMEOUT)
                    self._hearings.hold(topics)
        finally:
            self._hearings.lose()

    def _topics_in(self, subjects: Iterable[str]) -> list[str]:
        live = self._subjects.live
        return [subject.removeprefix(live) for subject in subjects if subject.startswith(live)]

    async def _subscribe(self, connection: Connection, subscribed: dict[str, Subscription]) -> list[str]:
        """Tell the server what has changed. Gives the subjects that are new."""
        self._woken.clear()
        new: list[str] = []
        while self._unsaid and connection.alive:
            subject = self._unsaid.pop()
            wanted = self._called(subject)
            if wanted is not None and subject not in subscribed:
                subscribed[subject] = await connection.client.subscribe(subject, cb=wanted)
                new.append(subject)
            elif wanted is None and subject in subscribed:
                await subscribed.pop(subject).unsubscribe()
        return new

    def _called(self, subject: str) -> Callable[[Msg], Awaitable[None]] | None:
        """What is to be called with its messages; None when nobody wants them."""
        if subject.startswith(self._subjects.live):
            return self._heard if subject.removeprefix(self._subjects.live) in self._hearings else None
        return self._hear if subject.removeprefix(self._subjects.bells) in self._keys else None

    async def _hear(self, message: Msg) -> None:
        key = self._keys.get(message.subject.removeprefix(self._subjects.bells))
        if key is not None:
            self._rang(key)

    async def _heard(self, message: Msg) -> None:
        self._hearings.heard(message.subject.removeprefix(self._subjects.live), message.data)

    def _rang(self, key: str | None) -> None:
        for watch in tuple(self._watches):
            watch.rang(key)

    async def close(self) -> None:
        self._watches.clear()
        self._hearings.clear()
        await self._listening.close()


class _NatsWatch(Watch):
    def __init__(self, listener: Listener, ring: Ring) -> None:
        self._listener, self._ring = listener, ring
        self.keys: set[str] = set()

    def add(self, key: str) -> None:
        if key not in self.keys:
            self.keys.add(key)
            self._listener.want(key)

    def discard(self, key: str) -> None:
        if key in self.keys:
            self.keys.discard(key)
            self._listener.leave(key)

    def rang(self, key: str | None) -> None:
        if key is None or key in self.keys:
            tell(self._ring, key)

    async def close(self) -> None:
        self._listener.forget(self)
