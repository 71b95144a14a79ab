"""Events as a person reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from via_state.core.events import EventCodec, Unreadable
from via_state.declarations.catalog import handled_logs
from via_state.exceptions import ViaStateError
from via_state.models import DeadLetter
from via_state.operations.replay import event_of


class Shown(NamedTuple):
    """An event's class and its fields as JSON; or what is stored of it, and the ``problem`` of reading it."""

    name: str
    text: str
    problem: str = ""


def shown_event(event: object, codec: EventCodec) -> Shown:
    """An event that this code knows."""
    name = f"{type(event).__module__}.{type(event).__qualname__}"
    try:
        ((_, _, payload),) = msgspec.json.decode(codec.encode([event]), type=list[tuple[Any, Any, msgspec.Raw]])
    except ViaStateError as error:
        return Shown(name, repr(event), str(error))
    return Shown(name, _indented(bytes(payload).decode()))


def shown_letter(letter: DeadLetter) -> Shown:
    """The event of a dead letter."""
    raw = Shown(letter.event_name, _indented(letter.payload))
    codec = codecs().get(letter.template)
    if codec is None:
        return raw._replace(problem="This code declares no such log: this is what is stored.")
    event = event_of(letter, codec)
    if isinstance(event, Unreadable):
        return raw._replace(
            problem=f"This code can't read the event, it is {event.value}: this is what is stored."
        )
    return shown_event(event, codec)


def codecs() -> dict[str, EventCodec]:
    """How the events of the declared logs are read, by key or template."""
    return {log.spec.name: log.spec.events for log in handled_logs(without_handlers=True)}


def _indented(payload: str) -> str:
    try:
        return msgspec.json.format(payload, indent=2)
    except (msgspec.MsgspecError, RecursionError):
        return payload
