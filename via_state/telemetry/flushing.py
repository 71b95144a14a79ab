"""What happens too often for an event of its own is added up where it happens, and told once a second."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from via_state.telemetry.event import Event

_tellers: dict[Callable[[], None], None] = {}
_flushing = Lock()


def at_flush(tell: Callable[[], None]) -> Callable[[], None]:
    """Have ``tell()`` called at each `flush`, by one thread at a time. Gives a function that takes that back."""
    _tellers[tell] = None

    def forget() -> None:
        _tellers.pop(tell, None)

    return forget


def flush() -> None:
    """Emit what was added up. From any thread; the loop does that each second, and whoever shows metrics before it does."""
    with _flushing:
        for tell in list(_tellers):
            tell()


class Levels:
    """Figures that are looked at once a second, and told as ``event(*changes)``. From any thread."""

    def __init__(self, look: Callable[[], tuple[int, ...]], event: Callable[..., Event]) -> None:
        self._look, self._event = look, event
        self._told: tuple[int, ...] = (0,) * len(look())
        self._forget = at_flush(self._tell)

    def _tell(self) -> None:
        self._say(self._look())

    def _say(self, now: tuple[int, ...]) -> None:
        before, self._told = self._told, now
        if now != before:
            self._event(*(new - old for new, old in zip(now, before, strict=True))).emit()

    def end(self) -> None:
        """All are 0 from now on. Twice is harmless."""
        self._forget()
        with _flushing:
            self._say((0,) * len(self._told))
