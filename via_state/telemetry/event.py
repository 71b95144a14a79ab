"""What an event is, and who is told of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Annotated, Any, ClassVar, TypeVar, get_type_hints

import msgspec

logger = logging.getLogger("via_state")

E = TypeVar("E", bound="Event")

Seconds = Annotated[float, "seconds"]
Events = Annotated[int, "events"]
Count = Annotated[int, "count"]
OffsetAt = Annotated[int, "offset"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """What happened, and its measures."""

    _subscribers: ClassVar[tuple[Callable[[Any], object], ...]] = ()

    @classmethod
    def subscribe(cls: type[E], subscriber: Callable[[E], object]) -> Callable[[E], object]:
        """Have ``subscriber(event)`` called for each event of this class. Gives the subscriber back: it is a decorator as well."""
        with _lock:
            cls._subscribers = (*cls._subscribers, subscriber)
        return subscriber

    @classmethod
    def unsubscribe(cls: type[E], subscriber: Callable[[E], object]) -> None:
        """Call ``subscriber`` no more."""
        with _lock:
            cls._subscribers = tuple(one for one in cls._subscribers if one != subscriber)

    @classmethod
    def units(cls) -> dict[str, str]:
        """The unit of each measure; the other fields are texts."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}

    def emit(self) -> None:
        """Tell all subscribers. From any thread; raises nothing."""
        for subscriber in self._subscribers:
            try:
                subscriber(self)
            except KeyboardInterrupt:
                raise
            except BaseException:  # SystemExit, too: it would end the loop
                type(self).unsubscribe(subscriber)
                logger.exception("A subscriber of %s raised. It is called no more.", type(self).__name__)


_lock = Lock()
