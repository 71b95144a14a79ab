"""Deliveries for tests that call a handler themselves."""

from __future__ import annotations

import uuid
from typing import Any

from via_state.core.offsets import Offset
from via_state.declarations.event_log import EventLog
from via_state.handlers.declaration import Delivery

EPOCH = "test"


def make_delivery(
    log: EventLog[Any] | str = "log",
    *,
    handler: str = "handler",
    offset: int = 1,
    attempt: int = 1,
    idempotency_key: str = "",
) -> Delivery:
    """The second argument of an event handler: ``ship(Placed(1), make_delivery(Orders.log))``.

    ``log``: the declaration, a member of a family (``Feed.room.at(room=7)``), whose ``parameters`` the delivery has then, or a key.
    ``idempotency_key`` is a new one if none is given; ``dataclasses.replace(delivery, attempt=2)`` is the next attempt.
    """
    epoch = offset.epoch if isinstance(offset, Offset) else EPOCH
    return Delivery(
        handler,
        log if isinstance(log, str) else log.key,
        Offset(offset, epoch),
        epoch,
        attempt,
        idempotency_key or f"{handler}-{uuid.uuid4().hex}",
        {} if isinstance(log, str) else log.parse(log.key),
    )
