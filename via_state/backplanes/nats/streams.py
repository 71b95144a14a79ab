"""The two streams: made where they are missing, looked at where they are there, and never changed."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from via_state.backplanes.nats.api import STREAM_NOT_FOUND, Message, Refused, call, parse_time
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.subjects import Subjects
from via_state.backplanes.strangers import Strangers
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable

logger = logging.getLogger("via_state")

#: Batched direct reads begin with this version.
MIN_VERSION = (2, 11)
#: Seconds for which the server knows message ids; its own default.
DUPLICATE_WINDOW = 120.0
SECOND = 1_000_000_000  # in nanoseconds, as the server counts
#: Settings that let a stream forget by itself, with the value that means "never".
FORGETTING = {"max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1}
QUOTAS = ("max_msgs", "max_bytes")


class StreamState(NamedTuple):
    """A stream at one moment. ``created`` tells one of the same name from another."""

    created: str
    last_seq: int
    last_time: datetime


class Streams:
    """``replicas`` and ``storage`` are for streams that are made here."""

    def __init__(self, subjects: Subjects, replicas: int, storage: str) -> None:
        self.subjects = subjects
        self._replicas, self._storage = replicas, storage
        #: What lies in the streams and is not ours.
        self.strangers = Strangers("NATS")
        self._seen: set[str] = set()
        # What the server said of its clock last, and when. Not compared with our clock's time, which may be any.
        self._said: tuple[datetime, float] | None = None
        #: The streams that one server alone has: it answers the requests of a connection in their order, and nobody lags behind it.
        self.alone: set[str] = set()
        #: Bytes that one message of a stream may have by its settings, where they say.
        self.max_message: dict[str, int] = {}

    async def prepare(self, connection: Connection) -> None:
        """See that both are there, and keep what they are given. Raises `BackplaneRefused`, saying what to do."""
        version = connection.client.connected_server_version
        if (version.major, version.minor) < MIN_VERSION:
            raise BackplaneRefused(
                f"The NATS server is version {version.major}.{version.minor}. Install "
                f"{MIN_VERSION[0]}.{MIN_VERSION[1]} or newer: batched reads came with it."
            )
        for config in (self._log_config(), self._cell_config()):
            name = config["name"]
            try:
                await self.state(connection, name)
            except Refused as error:
                # Not at once when it was there: whoever restores it from a backup needs its place.
                lost = name in self._seen and self._storage != "memory"
                if error.code != STREAM_NOT_FOUND or lost:
                    raise
                await self._create(connection, config)
            self._seen.add(name)

    async def _create(self, connection: Connection, config: dict[str, Any]) -> None:
        name = config["name"]
        try:
            self._hear_of(name, await call(connection, f"STREAM.CREATE.{name}", config))
        except Refused as refused:
            try:
                await self.state(connection, name)  # somebody else was faster
            except Refused as error:
                if error.code == STREAM_NOT_FOUND:
                    raise refused from None  # so the server said why it is missing
                raise
        else:
            logger.info("Made the stream %r on NATS.", name)

    async def state(self, connection: Connection, name: str) -> StreamState:
        """Where a stream stands, while its settings suit. Raises `BackplaneRefused`."""
        info = await call(connection, f"STREAM.INFO.{name}")
        try:
            return await self._state(connection, name, info)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BackplaneUnavailable(
                f"NATS said of the stream {name!r} what is not understood: {info!r:.200}"
            ) from error

    async def _state(self, connection: Connection, name: str, info: dict[str, Any]) -> StreamState:
        problem = unsuitable(
            info["config"], self._log_config() if name == self.subjects.log_stream else self._cell_config()
        )
        if problem is not None:
            await connection.close()  # nothing may be written now; the next connection looks again
            raise BackplaneRefused(f"The stream {name!r} on NATS does not suit: {problem}")
        self.max_message.pop(name, None)
        if (size := info["config"].get("max_msg_size", -1)) > 0:
            self.max_message[name] = size
        self._hear_of(name, info)
        state = info["state"]
        return StreamState(info["created"], state["last_seq"], parse_time(state["last_ts"]))

    async def erase(self, connection: Connection) -> None:
        """Delete both. For tests."""
        for name in (self.subjects.log_stream, self.subjects.cell_stream):
            await call(connection, f"STREAM.DELETE.{name}")

    def _hear_of(self, name: str, info: dict[str, Any]) -> None:
        self._said = parse_time(info["ts"]), time.monotonic()
        cluster = info.get("cluster") or {}
        if cluster.get("name") or cluster.get("replicas"):
            self.alone.discard(name)
        else:
            self.alone.add(name)

    def now(self) -> datetime:
        """The server's time. Known once there was a connection."""
        assert self._said is not None, "prepare() comes first"
        then, at = self._said
        return then + timedelta(seconds=time.monotonic() - at)

    def key_in(self, message: Message) -> str | None:
        """The key that a message is about; None for one that is not ours, which is counted."""
        try:
            return self.subjects.key_in(message.subject, message.headers)
        except ValueError as error:
            self.strangers.met(named(message), str(error))
            return None

    async def list_subjects(self, connection: Connection, stream: str, pattern: str, offset: int) -> list[str]:
        """Subjects with messages, a page of them from ``offset`` on; empty at the end."""
        body = {"subjects_filter": pattern, "offset": offset}
        info = await call(connection, f"STREAM.INFO.{stream}", body)
        return list(info["state"].get("subjects") or ())

    def _log_config(self) -> dict[str, Any]:
        subjects = self.subjects
        return {
            **self._config(subjects.log_stream, [f"{subjects.records}>", f"{subjects.metas}>"]),
            "republish": {"src": f"{subjects.records}>", "dest": f"{subjects.bells}>", "headers_only": True},
        }

    def _cell_config(self) -> dict[str, Any]:
        subjects = self.subjects
        return {  # what a key-value bucket is, so that the tools for buckets can look into it
            **self._config(subjects.cell_stream, [f"{subjects.cells}>"]),
            "republish": {"src": f"{subjects.cells}>", "dest": f"{subjects.bells}>", "headers_only": True},
            "max_msgs_per_subject": 1,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
        }

    def _config(self, name: str, subjects: list[str]) -> dict[str, Any]:
        return {
            "name": name,
            "subjects": subjects,
            "description": "via_state",
            "retention": "limits",
            "discard": "new",
            "storage": self._storage,
            "num_replicas": self._replicas,
            "allow_direct": True,
            "duplicate_window": int(DUPLICATE_WINDOW * SECOND),
            **FORGETTING,
        }


def named(message: Message) -> str:
    """A message, for whoever looks for it."""
    return f"message {message.seq} under {message.subject!r}"


def unsuitable(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """Why a stream with the settings ``found`` would lose what it is given, or can't be read; None if it suits."""
    if missing := set(wanted["subjects"]) - set(found.get("subjects") or ()):
        return f"it does not take the subjects {sorted(missing)}. Remove it, or choose another PREFIX."
    if found["retention"] != "limits":
        return f"its retention is {found['retention']!r}, which discards what was read. It must be 'limits'."
    for name in FORGETTING:
        never, value = wanted[name], found.get(name, FORGETTING[name])
        if name in QUOTAS and found.get("discard") == "new":
            continue  # full means that writes are refused, not that anything is forgotten
        if value != never and not (value <= 0 and never <= 0):
            how = "no limit" if never <= 0 else str(never)
            return f"{name} is {value}, which discards what is needed. Set it to {how}, with: nats stream edit"
    if found.get("duplicate_window", 0) < wanted["duplicate_window"]:
        return f"duplicate_window is below {DUPLICATE_WINDOW:g} s, so that a repeated append would count twice."
    if not found.get("allow_direct"):
        return "allow_direct is off. Switch it on, with: nats stream edit --allow-direct"
    if found.get("no_ack"):
        return "no_ack is on: writes are not acknowledged."
    if found.get("sealed") or found.get("deny_purge"):
        return "it is sealed, or may not be purged, so that it can't be compacted."
    if found.get("mirror") or found.get("sources"):
        return "it is fed from other streams. Use the one where they come from."
    if (found.get("republish") or {}).get("dest") != wanted["republish"]["dest"]:
        return f"it does not republish to {wanted['republish']['dest']!r}, so that nobody hears of changes."
    return None
