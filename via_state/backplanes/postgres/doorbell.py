"""Doorbells by NOTIFY: rung after the commit, coalesced, on a connection of their own; heard on another one.

Messages travel on the same two connections. NOTIFY inside the append's transaction would serialise all commits of the database, so it never is there. Every role that may
connect to the database may NOTIFY and LISTEN: see `code`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence

import psycopg

from via_state.backplanes.base import Hear, Hearing, Ring, Watch
from via_state.backplanes.hearings import Hearings, tell
from via_state.backplanes.listening import Listening
from via_state.backplanes.postgres.code import Code, names_in
from via_state.backplanes.postgres.connection import IDLE, Connection, deadline, ended, give_back, hang_up
from via_state.backplanes.postgres.messages import Assembler, parts
from via_state.backplanes.postgres.own_rings import OwnRings, latest
from via_state.core.records import Position
from via_state.core.text import error_line
from via_state.exceptions import BackplaneUnavailable, Closed, OutcomeUnknown, ViaStateError
from via_state.runtime.kept_errors import again
from via_state.runtime.single_flight import SingleFlight

logger = logging.getLogger("via_state.postgres")

Open = Callable[[], Coroutine[None, None, Connection]]

#: Seconds between two NOTIFYs of a process that rings often: what happens meanwhile rings together.
INTERVAL = 0.002
#: Seconds between two doorbells of a process for one cell: no reader looks more often. How many cells are known to have rung lately.
CELL_INTERVAL, RUNG_CELLS = 0.02, 1000
#: Bytes that PostgreSQL takes; longer ones ring as "anything may have changed".
MAX_PAYLOAD = 7999
#: Seconds between two rings for "anything may have changed": each makes a process look at all that moved.
PAUSE = 0.05
#: Seconds without a doorbell after which the listening connection is asked whether it lives.
SILENCE = 15.0

# Not the statement NOTIFY, which pg_stat_statements keeps with its payload, one line for each.
_NOTIFY = "SELECT pg_notify(%s, %s)"
#: Channels and payloads, in this order, in one transaction. For one payload it takes the server half as long again as `_NOTIFY`.
_NOTIFY_MANY = "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS told (channel, payload)"


class Notifier:
    """Rings for keys that this process changed, and sends messages. Rings that can't be delivered are dropped: sweeps make up for
    them. Whoever sent a message is told.

    ``timeout``: seconds for one statement. ``translated``: what an error of psycopg means to whoever sent a message. ``own``: is told
    what is rung.
    """

    def __init__(
        self,
        open_connection: Open,
        code: Code,
        timeout: float,
        translated: Callable[[psycopg.Error], ViaStateError],
        own: OwnRings,
    ) -> None:
        self._open, self._code, self._timeout, self._translated = open_connection, code, timeout, translated
        self._own = own
        self._connection: Connection | None = None
        self._keys: dict[str, Position | None] = {}  # each with the record that it rings for, where that is known
        self._rings = 0  # since the last NOTIFY
        self._messages: list[tuple[list[str], asyncio.Future[None]]] = []
        self._rest: asyncio.TimerHandle | None = None
        self._rung: dict[str, float] = {}  # cells, in the order of their last doorbells, and when that was
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._hurry = asyncio.Event()  # set while there are messages
        self._flight = SingleFlight("The sending of doorbells", self._send)
        self._closing = False

    def ring(self, key: str, through: Position | None = None) -> None:
        """Soon, and together with what is rung meanwhile. ``through``: the record that it rings for, where that is all."""
        self._keys[key] = latest(self._keys.get(key, through), through)
        self._rings += 1
        self._flight.ring()

    def ring_cell(self, key: str) -> None:
        """At once, or when its last doorbell is `CELL_INTERVAL` ago."""
        if key in self._later:
            return
        loop = asyncio.get_running_loop()
        wait = self._rung.pop(key, -math.inf) + CELL_INTERVAL - loop.time()
        self._rung[key] = loop.time() + max(wait, 0.0)
        if len(self._rung) > RUNG_CELLS:
            del self._rung[next(iter(self._rung))]
        if wait > 0:
            self._later[key] = loop.call_later(wait, self._ring_later, key)
        else:
            self.ring(key)

    def _ring_later(self, key: str) -> None:
        del self._later[key]
        self.ring(key)

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send messages, each a topic and its data, together with what is sent meanwhile: all of them or none. Raises
        `BackplaneUnavailable`, `OutcomeUnknown`, `Closed`.
        """
        payloads = [part for topic, data in messages for part in parts(self._code.of_topic(topic), data)]
        if not payloads:
            return
        if self._closing:
            raise Closed("This PostgreSQL backplane was closed.")
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._messages.append((payloads, sent))
        self._hurry.set()
        self._flight.ring()
        await sent

    async def _send(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        try:
            rings, self._rings = self._rings, 0
            await self._notify()
            if rings > 1:  # otherwise they come one by one: the next one does not wait
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(INTERVAL):  # a message does not wait for rings
                        await self._hurry.wait()
        finally:  # unless something is sent before
            self._rest = asyncio.get_running_loop().call_later(IDLE, self._give_back)

    def _give_back(self) -> None:
        """Nothing was sent for a while: others may need the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            give_back(connection)

    async def _notify(self) -> None:
        keys, self._keys = self._keys, {}
        messages, self._messages = self._messages, []
        self._hurry.clear()
        payloads = [payload for of_one, _ in messages for payload in of_one]
        channels = [self._code.messages] * len(payloads)
        through = {self._code.of(key): position for key, position in keys.items()}
        if keys:
            names = "".join(through)
            channels.append(self._code.channel)
            payloads.append(names if len(names) <= MAX_PAYLOAD else self._code.everything)
        try:
            await self._execute(channels, payloads, through)
        except (BackplaneUnavailable, psycopg.Error) as error:
            if self._closing:  # `close` hung up: nothing failed that anybody need hear of
                _tell(messages, Closed("This PostgreSQL backplane was closed."))
            else:
                logger.info("Doorbells were not rung, or messages not sent: %s", error)
                _tell(messages, self._translated(error) if isinstance(error, psycopg.Error) else error)
            await self._drop_connection()
        except Exception as error:
            logger.exception("Doorbells were not rung, or messages not sent, in a way that nobody expected.")
            _tell(messages, OutcomeUnknown(f"A message may not have been sent: {error_line(error)}"))
            await self._drop_connection()
        except BaseException:  # cancelled by `close`
            _tell(messages, Closed("This PostgreSQL backplane was closed."))
            raise
        else:
            _tell(messages, None)

    async def _execute(
        self, channels: list[str], payloads: list[str], through: Mapping[str, Position | None]
    ) -> None:
        if self._connection is not None and ended(self._connection):
            await self._drop_connection()
        if self._connection is None:
            self._connection = await self._open()
            self._own.begin(self._connection.info.backend_pid)
        if through and payloads[-1] != self._code.everything:
            self._own.send(payloads[-1], through)
        with deadline(self._connection, self._timeout):
            if len(payloads) == 1:
                await self._connection.execute(_NOTIFY, (channels[0], payloads[0]))
            else:
                await self._connection.execute(_NOTIFY_MANY, (channels, payloads))

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        self._closing = True
        for timer in self._later.values():
            timer.cancel()
        if (task := self._flight.task) is not None and self._connection is not None:
            # psycopg answers a cancellation by asking the server, which may be silent.
            hang_up(self._connection)
            await asyncio.wait({task}, timeout=1.0)
        await self._flight.ended()
        if self._rest is not None:
            self._rest.cancel()
        messages, self._messages = self._messages, []
        _tell(messages, Closed("This PostgreSQL backplane was closed."))
        await self._drop_connection()


def _tell(messages: Sequence[tuple[list[str], asyncio.Future[None]]], error: ViaStateError | None) -> None:
    for _, sent in messages:
        if sent.done():
            continue
        if error is None:
            sent.set_result(None)
        else:
            sent.set_exception(again(error))


class Listener:
    """Listens for all watches and hearings of a process on one connection, which it makes again for ever. Messages of all topics
    reach every process that listens, since a connection that waits can't be told to listen for one more.

    ``codes``: those in which others may ring. ``timeout``: seconds for an answer when the connection is asked whether it
    lives. ``own``: what this process rings itself.
    """

    def __init__(self, open_connection: Open, codes: Sequence[Code], timeout: float, own: OwnRings) -> None:
        self._open, self._codes, self._timeout, self._own = open_connection, codes, timeout, own
        self._everything = {code.everything for code in codes}
        self._watches: set[_PostgresWatch] = set()
        self._hearings = Hearings(self._audience_changed)
        self._topics: dict[str, str] = {}  # those that somebody hears, by each of their names
        self._pause: asyncio.TimerHandle | None = None
        self._rang_in_pause = False
        self._connection: Connection | None = None
        self._holds = False
        self._listening = Listening(logger, self._session, psycopg.Error)

    def watch(self, ring: Ring) -> Watch:
        watch = _PostgresWatch(self._watches, self._codes, ring)
        self._watches.add(watch)
        self._listening.start()
        return watch

    def hear(self, topic: str, hear: Hear) -> Hearing:
        hearing = self._hearings.add(topic, hear)
        if self._holds:
            self._hearings.hold([topic])
        self._listening.start()
        return hearing

    def _audience_changed(self, topic: str) -> None:
        for name in (code.of_topic(topic) for code in self._codes):
            if topic in self._hearings:
                self._topics[name] = topic
            else:
                self._topics.pop(name, None)

    async def _session(self) -> None:
        try:
            self._connection = await self._open()
            with deadline(self._connection, self._timeout):
                for code in self._codes:
                    await self._connection.execute(f"LISTEN {code.channel}")
                    await self._connection.execute(f"LISTEN {code.messages}")
            self._listening.holds()
            self._holds = True
            self._hearings.hold(self._hearings.topics())
            self._rang_for_all()  # while nobody listened, anything may have changed
            await self._listen(self._connection)
        finally:
            self._holds = False
            self._hearings.lose()
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _listen(self, connection: Connection) -> None:
        assemblers = {code.messages: Assembler() for code in self._codes}
        while True:
            async for notification in connection.notifies(timeout=SILENCE):
                if (assembler := assemblers.get(notification.channel)) is None:
                    self._hear(notification.payload, self._own.through(notification.pid, notification.payload))
                elif (message := assembler.take(notification.payload)) is not None:
                    self._heard(*message)
            with deadline(connection, self._timeout):
                await connection.execute("SELECT 1")

    def _hear(self, payload: str, through: Mapping[str, Position]) -> None:
        for name in names_in(payload):
            if name in self._everything:
                self._rang_for_all()
            else:
                for watch in tuple(self._watches):
                    watch.rang(name, through.get(name))

    def _heard(self, name: str, data: bytes) -> None:
        if (topic := self._topics.get(name)) is not None:
            self._hearings.heard(topic, data)

    def _rang_for_all(self) -> None:
        """At once, or together with others at the end of the pause after the last one."""
        if self._pause is not None:
            self._rang_in_pause = True
            return
        self._pause = asyncio.get_running_loop().call_later(PAUSE, self._end_pause)
        for watch in tuple(self._watches):
            watch.rang(None)

    def _end_pause(self) -> None:
        self._pause = None
        if self._rang_in_pause:
            self._rang_in_pause = False
            self._rang_for_all()

    async def close(self) -> None:
        self._watches.clear()
        self._hearings.clear()
        self._topics.clear()
        if self._pause is not None:
            self._pause.cancel()
        # psycopg answers a cancellation by asking the server, which may be silent.
        await self._listening.close(self._hang_up)

    def _hang_up(self) -> None:
        if self._connection is not None:
            hang_up(self._connection)


class _PostgresWatch(Watch):
    def __init__(self, watches: set[_PostgresWatch], codes: Sequence[Code], ring: Ring) -> None:
        self._watches, self._codes, self._ring = watches, codes, ring
        self._keys: dict[str, str] = {}  # by each of their names

    def add(self, key: str) -> None:
        for code in self._codes:
            self._keys[code.of(key)] = key

    def discard(self, key: str) -> None:
        for code in self._codes:
            self._keys.pop(code.of(key), None)

    def rang(self, name: str | None, through: Position | None = None) -> None:
        """``name``: a key's in one of the codes; None: anything may have changed. ``through``: the record that it rings for, where that is
        known.
        """
        if name is None:
            tell(self._ring, None)
        elif (key := self._keys.get(name)) is not None and not self._knows(key, through):
            tell(self._ring, key)

    def _knows(self, key: str, through: Position | None) -> bool:
        return through is not None and self.has is not None and self.has(key, through)

    async def close(self) -> None:
        self._watches.discard(self)
