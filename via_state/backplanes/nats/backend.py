"""`NatsBackplane`: the contract, put together from its halves."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage

from via_state.backplanes.base import Backplane, Hear, Hearing, Ring, Watch, check_key
from via_state.backplanes.nats.cells import Cells
from via_state.backplanes.nats.changes import Sweeper
from via_state.backplanes.nats.connection import JETSTREAM, Connection
from via_state.backplanes.nats.connections import Connections
from via_state.backplanes.nats.dialing import ByProject, Dialing, ToServers
from via_state.backplanes.nats.doorbell import Listener
from via_state.backplanes.nats.examination import findings
from via_state.backplanes.nats.log import PACK, Logs
from via_state.backplanes.nats.options import DEFAULTS, client_options, concealed, problems, risks
from via_state.backplanes.nats.streams import Streams
from via_state.backplanes.nats.subjects import Subjects
from via_state.core.findings import Finding
from via_state.core.records import Append, Batch, Cell, Changes, LogBounds, Position, Revision
from via_state.exceptions import ViaStateError

#: Bytes of a message that are not the value: headers, the key.
OVERHEAD = 8 * 1024


class NatsBackplane(Backplane):
    """Cells and logs on NATS JetStream 2.11 or newer: a stream with a subject per key, and a key-value bucket.

    Options: ``SERVERS``, an address or a list of them. ``CREDENTIALS``, the path of a credentials file; or ``NKEY``, that of a
    file with a user's seed; or ``USER`` and ``PASSWORD``; or ``TOKEN``. ``TLS``: True, or a dictionary with the files ``CA``, ``CERT`` and ``KEY``, and
    ``HANDSHAKE_FIRST``; with it, or with an address that begins with ``tls://``, nothing is ever sent in clear.
    ``INBOX_PREFIX``: the beginning of the subjects at which it hears answers, for users who may hear those only.
    ``CONNECTION``, instead of all these: the dotted path of an async function of the project's that takes ``**options``, adds
    its own, and returns what ``nats.connect`` returns. ``DOMAIN``: the JetStream domain, where it is not the server's own.
    ``PREFIX`` keeps projects apart that share a server: the streams are ``<PREFIX>_log`` and ``KV_<PREFIX>_cells``. ``REPLICAS`` and ``STORAGE`` (``"file"``,
    ``"memory"``) are for streams that are missing and made; those that are there are never changed, and refused if they
    would lose anything. ``CONNECT_TIMEOUT`` and ``TIMEOUT``: seconds for connecting to one address of a server, and for one answer.
    """

    shared = True
    durable = True
    compacts = True
    trains = 1  # each message costs this process more than its answer takes
    retry_window = 60.0
    max_append_bytes = 1024 * 1024 - OVERHEAD
    batch_records = 20_000
    max_append_records = PACK
    max_value_bytes = max_append_bytes
    max_message_bytes = max_append_bytes

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(concealed({**DEFAULTS, **options}))
        subjects = Subjects(self.options["PREFIX"])
        self._streams = Streams(subjects, self.options["REPLICAS"], self.options["STORAGE"])
        self._connections = Connections(
            self._dialing(),
            self.options["CONNECT_TIMEOUT"],
            self.options["TIMEOUT"],
            JETSTREAM if self.options["DOMAIN"] is None else f"$JS.{self.options['DOMAIN']}.API.",
            self._prepare,
        )
        self._logs = Logs(self._connections, self._streams)
        self._cells = Cells(self._connections, self._streams)
        self._sweeper = Sweeper(self._connections, self._streams, self._logs, self._cells)
        self._subjects = subjects
        self._listener = Listener(self._connections, subjects)

    def _dialing(self) -> Dialing:
        if self.options["CONNECTION"] is not None:
            return ByProject(self.options["CONNECTION"])
        servers = self.options["SERVERS"]
        encrypted = bool(self.options["TLS"]) or any(one.tls for one in servers)
        return ToServers(servers, encrypted, functools.partial(client_options, self.options))

    async def _prepare(self, connection: Connection) -> None:
        await self._streams.prepare(connection)
        limits, server = self._streams.max_message, connection.client.max_payload
        subjects = self._streams.subjects
        self.max_append_bytes = max(min(limits.get(subjects.log_stream, server), server) - OVERHEAD, 1)
        self.max_message_bytes = max(server - OVERHEAD, 1)
        self.max_value_bytes = max(min(limits.get(subjects.cell_stream, server), server) - OVERHEAD, 1)

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        return list(problems(options))

    @classmethod
    def check_deployment(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        return list(risks(options))

    # Store ------------------------------------------------------------------------------------------------

    async def load_many(self, keys: Iterable[str]) -> dict[str, Cell]:
        keys = list(keys)
        for key in keys:
            check_key(key)
        return await self._cells.load_many(keys)

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None = None) -> Revision:
        check_key(key)
        await self._connections.get()  # the server says how much it takes
        self.check_value(key, data)
        return await self._cells.cas(key, expected, bytes(data), ttl)

    async def cells(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, Cell]:
        return await self._cells.page(after, limit, begin)

    async def prune(self, limit: int = 1000) -> int:
        return await self._cells.prune(limit)

    # Event log --------------------------------------------------------------------------------------------

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        check_key(key)
        await self._connections.get()  # the server says how much it takes
        self.check_append(key, count, data)
        return await self._logs.append(key, append_id, count, bytes(data))

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        await self._connections.get()  # the server says how much it takes
        refused, sound = self.checked_appends(appends)
        return refused | (await self._logs.append_many(sound) if sound else {})

    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        check_key(key)
        return await self._logs.read(key, after, limit)

    async def head(self, key: str) -> LogBounds:
        check_key(key)
        return await self._logs.head(key)

    async def count(self, key: str, after: int, head: LogBounds) -> int:
        check_key(key)
        return await self._logs.count(key, max(after, head.floor.offset), head.position.offset)

    async def changed(self, cursor: object | None) -> Changes:
        return await self._sweeper.changed(cursor)

    def watch(self, ring: Ring) -> Watch:
        self._connections.check_open()
        return self._listener.watch(ring)

    async def drop(self, key: str, last: Position | None = None) -> None:
        check_key(key)
        await self._logs.drop(key, last)

    async def logs(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, LogBounds]:
        return await self._logs.page(after, limit, begin)

    async def compact(self, key: str, through: int, epoch: str | None = None) -> int:
        check_key(key)
        return await self._logs.compact(key, through, epoch)

    # Messages ---------------------------------------------------------------------------------------------

    async def publish(self, topic: str, data: bytes) -> None:
        for error in await self.publish_many([(topic, data)]):
            if error is not None:
                raise error

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[Exception | None]:
        connection = await self._connections.get()  # the server says how much it takes
        errors, live = self.refused(messages), self._subjects.live
        sent = [index for index, error in enumerate(errors) if error is None]
        answers = await connection.publish([(live + messages[at][0], bytes(messages[at][1])) for at in sent])
        for at, error in zip(sent, answers, strict=True):
            errors[at] = error
        return errors

    def hear(self, topic: str, hear: Hear) -> Hearing:
        self._connections.check_open()
        self.check_message(topic)
        return self._listener.hear(topic, hear)

    # ------------------------------------------------------------------------------------------------------

    async def examine(self) -> list[Finding]:
        return await findings(self._connections, self._streams)

    async def erase(self) -> None:
        await self._streams.erase(await self._connections.get())

    async def close(self) -> None:
        await self._listener.close()
        await self._connections.close()
