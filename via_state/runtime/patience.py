"""Until when a verb may wait before anything of it is sent: for a connection, or for its turn.

Who calls a backplane knows how long its own caller waits; who has the connections waits. They know each other by the context.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_send_by: ContextVar[float] = ContextVar("via_state_send_by", default=math.inf)


@contextmanager
def send_by(moment: float) -> Iterator[None]:
    """What is called inside is sent by ``moment``, of `time.monotonic`, or raises `BackplaneUnavailable`."""
    before = _send_by.set(min(moment, _send_by.get()))
    try:
        yield
    finally:
        _send_by.reset(before)


def seconds_to_send(most: float = math.inf) -> float:
    """How long the caller may wait now; ``most`` seconds where nobody said less."""
    return max(0.0, min(most, _send_by.get() - time.monotonic()))
