"""`PostgresBackplane`: the contract, put together from its halves."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error

from via_state.backplanes.base import Backplane, Hear, Hearing, Ring, Watch, check_key
from via_state.backplanes.postgres.appends import Appends
from via_state.backplanes.postgres.cells import Cells
from via_state.backplanes.postgres.changes import changed
from via_state.backplanes.postgres.code import codes
from via_state.backplanes.postgres.connection import open_connection
from via_state.backplanes.postgres.connections import Connections
from via_state.backplanes.postgres.doorbell import Listener, Notifier
from via_state.backplanes.postgres.examination import Examination
from via_state.backplanes.postgres.failures import translated
from via_state.backplanes.postgres.log import Logs
from via_state.backplanes.postgres.messages import MAX_MESSAGE
from via_state.backplanes.postgres.own_rings import OwnRings
from via_state.backplanes.postgres.risks import risks
from via_state.core.findings import Finding
from via_state.core.records import Append, Batch, Cell, Changes, LogBounds, Position, Revision
from via_state.exceptions import Closed, InvalidKey, ViaStateError
from via_state.redacted import redacted

#: Option names with their defaults. Durations are seconds.
DEFAULTS: Mapping[str, Any] = {
    "DATABASE": "default",
    "LISTEN_DATABASE": None,
    "PREFIX": "via",
    "POOL_SIZE": 4,
    "CONNECT_TIMEOUT": 5.0,
    "TIMEOUT": 10.0,
}


#: Characters in the longest prefix: the width of its column.
MAX_PREFIX = 100


#: Everything of one prefix.
ERASE = (
    "DELETE FROM via_state_pack WHERE log_id IN (SELECT id FROM via_state_log WHERE prefix = %s)",
    "DELETE FROM via_state_log WHERE prefix = %s",
    "DELETE FROM via_state_cell WHERE prefix = %s",
)


class PostgresBackplane(Backplane):
    """Cells and logs in PostgreSQL 14 or newer.

    Options: ``DATABASE``, the alias of the database. ``LISTEN_DATABASE``, an alias that reaches the same server without
    a transaction-pooling proxy, for LISTEN (default: ``DATABASE``). ``PREFIX`` keeps projects apart that share the
    tables: up to 100 characters. ``POOL_SIZE``: connections of a process, besides one that listens and one that rings.
    ``CONNECT_TIMEOUT`` and ``TIMEOUT``: seconds for connecting to one host, and for one verb.

    Behind a transaction-pooling proxy set ``DISABLE_SERVER_SIDE_CURSORS`` for the alias, as for Django itself: no
    session settings and no prepared statements are used then.
    """

    shared = True
    durable = True
    compacts = True
    dense = True
    retry_window = 120.0
    max_append_bytes = 64 * 1024 * 1024
    batch_records = 20_000
    max_append_records = 1_000_000
    max_value_bytes = max_append_bytes
    max_message_bytes = MAX_MESSAGE

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__({**DEFAULTS, **options})
        alias, prefix = self.options["DATABASE"], self.options["PREFIX"]
        connect_timeout, timeout = self.options["CONNECT_TIMEOUT"], self.options["TIMEOUT"]
        self._connections = Connections(alias, self.options["POOL_SIZE"], connect_timeout, timeout)
        self._prefix = prefix
        # What is sent at the end of the retry window may wait for a connection and then for a lock.
        self._logs = Logs(self._connections, prefix, self.retry_window + 2 * (connect_timeout + timeout))
        self._appends = Appends(self._connections, prefix)
        self._cells = Cells(self._connections, prefix)
        names, own = codes(prefix), OwnRings()
        self._notifier = Notifier(
            functools.partial(open_connection, alias, connect_timeout),
            names[0],
            timeout,
            functools.partial(translated, alias=alias, write=True),
            own,
        )
        listening = functools.partial(open_connection, self.options["LISTEN_DATABASE"] or alias, connect_timeout)
        self._listener = Listener(listening, names, timeout, own)
        self._examination = Examination(
            alias, self._connections, listening, functools.partial(open_connection, alias, connect_timeout)
        )
        self._closed = False

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        found: list[CheckMessage] = []
        for name in options:
            if name not in DEFAULTS:
                hint = f"Known options: {', '.join(DEFAULTS)}."
                message = f"The PostgreSQL backplane has no option {name!r}."
                found.append(Error(message, hint=hint, id="via_state.E020"))
        values = {**DEFAULTS, **options}
        for name in ("DATABASE", "LISTEN_DATABASE"):
            alias = values[name]
            if alias is None:
                continue
            database = settings.DATABASES.get(alias)
            if database is None:
                hint = f"Known aliases: {', '.join(settings.DATABASES)}."
                found.append(
                    Error(f"{name} is {redacted(alias)}, which DATABASES lacks.", hint=hint, id="via_state.E021")
                )
            elif not _is_postgres(alias):
                hint = "Point it at a PostgreSQL database, or choose the memory backplane."
                message = f"{name} {alias!r} is not a PostgreSQL database."
                found.append(Error(message, hint=hint, id="via_state.E022"))
        if not apps.is_installed("via_state.backplanes.postgres"):
            hint = "Add 'via_state.backplanes.postgres' to INSTALLED_APPS and run manage.py migrate."
            found.append(Error("The PostgreSQL backplane's app is not installed.", hint=hint, id="via_state.E023"))
        if not _is_prefix(values["PREFIX"]):
            message = f"The PostgreSQL backplane's prefix is {values['PREFIX']!r}."
            hint = f"Give a string of 1 to {MAX_PREFIX} characters other than NUL and lone surrogates."
            found.append(Error(message, hint=hint, id="via_state.E025"))
        for name in ("POOL_SIZE", "CONNECT_TIMEOUT", "TIMEOUT"):
            value = values[name]
            wanted: Any = int if name == "POOL_SIZE" else int | float
            if isinstance(value, bool) or not isinstance(value, wanted) or value <= 0:
                message = f"The PostgreSQL backplane's option {name!r} is {redacted(value)}."
                found.append(Error(message, hint="Give a number above 0.", id="via_state.E024"))
        return found

    @classmethod
    def check_deployment(cls, options: Mapping[str, Any]) -> list[CheckMessage]:
        values = {**DEFAULTS, **options}
        return list(risks(values["DATABASE"], values["LISTEN_DATABASE"]))

    # Store ------------------------------------------------------------------------------------------------

    async def load_many(self, keys: Iterable[str]) -> dict[str, Cell]:
        return await self._cells.load_many(_checked(keys))

    async def revisions(self, keys: Iterable[str]) -> dict[str, Revision]:
        return await self._cells.revisions(_checked(keys))

    async def cas(self, key: str, expected: Revision | None, data: bytes, ttl: float | None = None) -> Revision:
        self.check_value(key, data)
        revision = await self._cells.cas(key, expected, data, ttl)
        if not self._closed:
            self._notifier.ring_cell(key)
        return revision

    async def cells(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, Cell]:
        return await self._cells.page(after, limit, begin)

    async def prune(self, limit: int = 1000) -> int:
        return await self._cells.prune(limit)

    # Event log --------------------------------------------------------------------------------------------

    async def append(self, key: str, append_id: str, count: int, data: bytes) -> Position:
        self.check_append(key, count, data)
        position = await self._appends.append(key, append_id, count, data)
        self._ring(key, position)
        return position

    async def append_many(self, appends: Sequence[Append]) -> dict[str, Position | ViaStateError]:
        refused, sound = self.checked_appends(appends)
        found = await self._appends.append_many(sound) if sound else {}
        for key, answer in found.items():
            if isinstance(answer, Position):
                self._ring(key, answer)
        return refused | found

    async def read(self, key: str, after: Position, limit: int = 1000) -> Batch:
        check_key(key)
        return await self._logs.read(key, after.offset, limit)

    async def read_many(self, after: Mapping[str, Position], limit: int = 1000) -> dict[str, Batch]:
        for key in after:
            check_key(key)
        return await self._logs.read_many({key: position.offset for key, position in after.items()}, limit)

    async def head(self, key: str) -> LogBounds:
        check_key(key)
        return await self._logs.head(key)

    async def heads(self, keys: Iterable[str]) -> dict[str, LogBounds]:
        return await self._logs.heads(_checked(keys))

    async def changed(self, cursor: object | None) -> Changes:
        return await changed(self._connections, self._prefix, cursor)

    def watch(self, ring: Ring) -> Watch:
        self._check_open()
        return self._listener.watch(ring)

    async def drop(self, key: str, last: Position | None = None) -> None:
        check_key(key)
        await self._logs.drop(key, last)
        self._ring(key)

    async def logs(self, after: str = "", limit: int = 1000, begin: str = "") -> dict[str, LogBounds]:
        return await self._logs.page(after, limit, begin)

    async def compact(self, key: str, through: int, epoch: str | None = None) -> int:
        check_key(key)
        return await self._logs.compact(key, through, epoch)

    # Messages ---------------------------------------------------------------------------------------------

    async def publish(self, topic: str, data: bytes) -> None:
        self._check_open()
        self.check_message(topic, data)
        await self._notifier.publish([(topic, data)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> list[Exception | None]:
        self._check_open()
        errors = self.refused(messages)
        await self._notifier.publish([one for one, error in zip(messages, errors, strict=True) if error is None])
        return errors

    def hear(self, topic: str, hear: Hear) -> Hearing:
        self._check_open()
        self.check_message(topic)
        return self._listener.hear(topic, hear)

    # ------------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("This PostgreSQL backplane was closed.")

    def _ring(self, key: str, through: Position | None = None) -> None:
        if not self._closed:
            self._notifier.ring(key, through)

    async def examine(self) -> list[Finding]:
        return await self._examination.findings()

    async def erase(self) -> None:
        async with self._connections.use(write=True) as connection:
            for statement in ERASE:
                await connection.execute(statement, (self._prefix,))

    async def close(self) -> None:
        self._closed = True
        await self._listener.close()
        await self._notifier.close()
        await self._connections.close()


def _is_prefix(given: object) -> bool:
    if not isinstance(given, str) or len(given) > MAX_PREFIX:
        return False
    try:
        check_key(given)
    except InvalidKey:
        return False
    return True


def _checked(keys: Iterable[str]) -> list[str]:
    keys = list(keys)
    for key in keys:
        check_key(key)
    return keys


def _is_postgres(alias: str) -> bool:
    from django.db import connections

    return connections[alias].vendor == "postgresql"
