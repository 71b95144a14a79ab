"""The ids of what the doctor finds."""

from __future__ import annotations

from via_state.conf import settings

#: Each has a part of `docs/troubleshooting.md` with its id as heading.
IDS = {
    "D100": "the database does not answer",
    "D101": "the backplane answers slowly",
    "D102": "clocks differ",
    "D103": "PostgreSQL acknowledges what it may lose",
    "D104": "migrate was not run",
    "D110": "doorbells do not get through",
    "D111": "PostgreSQL is a standby",
    "D120": "a write transaction stays open",
    "D121": "a replication slot keeps WAL",
    "D122": "a prepared transaction stays open",
    "D123": "somebody blocks rows of via_state",
    "D124": "dead rows are not removed",
    "D125": "hardly a connection is left",
    "D200": "the backplane does not answer",
    "D201": "a stream is kept by one server",
    "D202": "NATS writes to disk lazily",
    "D203": "a stream, or an account, is nearly full",
    "D204": "the clock of NATS differs",
    "D205": "a server of a stream is missing",
    "D301": "no worker is alive",
    "D302": "an event handler is in no code",
    "D303": "dead letters wait",
    "D304": "the outbox is stuck",
    "D305": "keys are halted",
    "D306": "two releases run side by side",
    "D307": "the channel layer carries nothing",
    "D308": "browsers send no cookie, or may not open the socket",
    "D309": "a process does not hear doorbells",
    "D310": "erasures fail",
    "D311": "an event handler is halted or stuck",
    "D312": "old code keeps records",
    "D313": "an event handler lags",
}


def anchor(id: str) -> str:
    """Where the pages say what to do about it."""
    return settings.page("troubleshooting", id.lower())
