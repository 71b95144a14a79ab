"""Whether the messages of a process get through, told by what it hears of its own and of others."""

from __future__ import annotations

from enum import StrEnum


class DoorbellHealth(StrEnum):
    """``UNKNOWN``: it has said too little so far, or the backplane carries no messages. ``ISOLATED``: it does not even hear itself, so
    that it sees changes of others only by its sweeps. ``SOLITARY``: it hears itself and nobody else; in order for the only process.
    ``CLUSTERED``: it hears others.
    """

    UNKNOWN = "unknown"
    ISOLATED = "isolated"
    SOLITARY = "solitary"
    CLUSTERED = "clustered"


def doorbell_health(
    now: float, asked: float | None, own: float | None, other: float | None, patience: float
) -> DoorbellHealth:
    """``asked``: when it first said something. ``own``, ``other``: when it last heard itself, or another process; None for never.

    What is older than ``patience`` seconds does not count. All times are of one clock.
    """
    if other is not None and now - other <= patience:
        return DoorbellHealth.CLUSTERED
    if own is not None and now - own <= patience:
        return DoorbellHealth.SOLITARY
    if asked is None or (now - asked <= patience and own is None):
        return DoorbellHealth.UNKNOWN
    return DoorbellHealth.ISOLATED
