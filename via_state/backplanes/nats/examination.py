"""What `manage.py state_doctor` asks NATS: how safely the streams are kept, and how much room they have."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings

from via_state.backplanes.nats.api import call, parse_time
from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.connections import Connections
from via_state.backplanes.nats.streams import Streams
from via_state.core.findings import Finding, amount, bad, some, unknown, well
from via_state.exceptions import BackplaneUnavailable

#: Part of a limit that may be used; seconds by which clocks may differ.
FULL, SKEW = 0.8, 1.0
#: Limits of a stream, with the figure of its state that they are about.
_LIMITS = (("max_bytes", "bytes"), ("max_msgs", "messages"))
#: The same of an account.
_QUOTAS = (("max_storage", "storage"), ("max_memory", "memory"))


async def findings(connections: Connections, streams: Streams) -> list[Finding]:
    """Everything that was looked at. Raises `BackplaneUnavailable` where no server answers, or a stream does not suit."""
    connection = await connections.get()
    names = (streams.subjects.log_stream, streams.subjects.cell_stream)
    began = time.time()
    infos = {name: await call(connection, f"STREAM.INFO.{name}") for name in names}
    ended = time.time()
    configs = {name: info["config"] for name, info in infos.items()}
    return [
        *some("D201", list(_replicas(configs)), "Each stream is kept by several servers."),
        *_laziness(configs),
        *some("D203", [*_limits(infos), *await _quotas(connection)], "The streams have room."),
        _clock(infos[names[-1]], began, ended),
        *some("D205", list(_members(infos)), "All servers of the streams are there."),
    ]


def _replicas(configs: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for name, config in configs.items():
        if config.get("num_replicas", 1) == 1:
            yield bad(
                "D201",
                f"The stream {name!r} is kept by one server: what was acknowledged is gone with its disk.",
                f"On a cluster of three servers: nats stream edit {name} --replicas 3",
            )


def _laziness(configs: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for name, config in configs.items():
        if config.get("storage") == "memory":
            text = f"The stream {name!r} is kept in memory: it is gone when its servers end."
            yield bad("D202", text, "Set OPTIONS['STORAGE'] to 'file', and move what is there to another PREFIX.")
        elif config.get("persist_mode", "default") not in ("default", ""):
            text = f"The stream {name!r} is written to disk some time after it was acknowledged (persist_mode)."
            yield bad("D202", text, "Make it again with persist_mode 'default'.")
    if "via_state.W005" not in settings.SILENCED_SYSTEM_CHECKS:
        yield unknown(
            "D202",
            "How often the servers write to disk can't be asked; by default it is every two minutes.",
            "Set sync_interval: always in the jetstream block of each server, then silence via_state.W005.",
        )


def _limits(infos: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for name, info in infos.items():
        for limit, figure in _LIMITS:
            most, used = info["config"].get(limit, -1), info["state"].get(figure, 0)
            if most > 0 and used >= most * FULL:
                text = f"The stream {name!r} is nearly full: {figure} {used:,}, and it takes {most:,}. Then it refuses writes."
                yield bad("D203", text, f"nats stream edit {name}, or manage.py compact_state")


async def _quotas(connection: Connection) -> list[Finding]:
    try:
        account = await call(connection, "INFO")
    except BackplaneUnavailable as error:
        return [unknown("D203", f"The limits of the account can't be asked: {error}")]
    found = []
    for limit, figure in _QUOTAS:
        most, used = account.get("limits", {}).get(limit, -1), account.get(figure, 0)
        if most > 0 and used >= most * FULL:
            text = (
                f"The account is nearly full: {figure} {amount(used)} of {amount(most)}. Then it refuses writes."
            )
            found.append(bad("D203", text, "Raise the limits of the account, or run manage.py compact_state."))
    return found


def _clock(info: Mapping[str, Any], began: float, ended: float) -> Finding:
    theirs = parse_time(info["ts"]).timestamp()
    wrong = max(began - theirs, theirs - ended, 0.0)
    if wrong <= SKEW:
        return well("D204", "The clock of NATS is right, as far as this machine's is.")
    return bad(
        "D204",
        f"The clock of the NATS server is {wrong:.1f} s {'ahead of' if theirs > ended else 'after'} this machine's: lives of values "
        "and ages of events are wrong by that.",
        "Run NTP on both.",
    )


def _members(infos: Mapping[str, Mapping[str, Any]]) -> Iterable[Finding]:
    for name, info in infos.items():
        cluster = info.get("cluster") or {}
        if cluster and not cluster.get("leader") and cluster.get("replicas"):
            yield bad("D205", f"The stream {name!r} has no leader.", "Bring the servers back that are down.")
        for one in cluster.get("replicas") or ():
            if one.get("offline") or not one.get("current", True):
                what = "is down" if one.get("offline") else f"lacks {one.get('lag', 0):,} messages"
                yield bad(
                    "D205",
                    f"The server {one.get('name')!r} of the stream {name!r} {what}: the next failure stops writes.",
                    "Bring it back.",
                )
