"""What became of processes, as the books have it: when code began to run, and who was lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from via_state.bookkeeping.peers import KnownPeer
from via_state.operations.condition import Worker

#: Names of processes that a line has.
NAMED = 3


class Happening(NamedTuple):
    """``at`` is the books' own time."""

    at: datetime
    text: str


def happenings(peers: Iterable[KnownPeer], workers: Iterable[Worker]) -> list[Happening]:
    """The newest first. A process that ended well is forgotten at once, and one that was lost after a day: it is as of those that are known.

    A release began with the oldest of its processes that are alive. Who was lost in the same minute is one line.
    """
    releases: dict[str, list[datetime]] = defaultdict(list)
    lost: dict[tuple[str, datetime], dict[str, datetime]] = defaultdict(dict)
    gone = {one.name: one.lease_until for one in workers if not one.alive}
    for name, until in gone.items():
        lost["worker", _minute(until)][name] = until
    for one in peers:
        name = f"{one.peer.host}, process {one.peer.pid}"
        if one.alive:
            releases[one.peer.code.release].append(one.started_at)
        elif name not in gone:
            lost["process", _minute(one.lease_until)][name] = one.lease_until
    found = [
        Happening(
            min(since),
            f"release {code} began; {len(since):,} of its processes {'are' if len(since) > 1 else 'is'} alive",
        )
        for code, since in releases.items()
    ]
    found += [Happening(max(names.values()), _lost(what, sorted(names))) for (what, _), names in lost.items()]
    return sorted(found, key=lambda one: one.at, reverse=True)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _lost(what: str, names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{what} lost: {'; '.join(names[:NAMED])}{more}"
