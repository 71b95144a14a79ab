"""State of one browser session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from via_state.declarations.cell import Cell
from via_state.declarations.event_log import E1, E2, E3, E4, EventLog, Folds, FoundValue, GivenValue
from via_state.declarations.session_scope import SESSION

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
V = TypeVar("V")
E_co = TypeVar("E_co", covariant=True)


class StateSess(Cell[T], Generic[T]):
    """``profile = StateSess(Profile)``: used as ``Feed(request).profile``.

    It survives the rotation of the session's key at login, and ends when the session is flushed, as a logout does.
    Reading never creates a session. The first write does, so it needs an HTTP request: elsewhere it raises
    `SessionRequired`. So does every verb where sessions are kept in signed cookies, which can't be taken back.
    """

    scope = SESSION


class StateSessEvents(EventLog[E_co], Generic[E_co]):
    """``visited = StateSessEvents(Visited)``: a log of each session's, used as ``Feed(request).visited``.

    Sessions are those of `StateSess`, events and options those of `EventLog`. The log ends with its session: its records,
    snapshots, dead letters, positions of event handlers and what waits in the outbox are removed, and who appends then gets
    `SessionEnded`. So an event that a handler has not had by then is never handled: what must be handled belongs to a log of
    everybody's.
    """

    scope = SESSION

    # A type checker finds the events in these signatures, and the value in their folds.
    @overload
    def __init__(self: StateSessEvents[E1], events: TypeForm[E1], /, **options: Unpack[FoundValue]) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | Folds[V]], events: TypeForm[E1], /, **options: Unpack[GivenValue[V]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | E2], e1: type[E1], e2: type[E2], /, **options: Unpack[FoundValue]
    ) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | E2 | Folds[V]], e1: type[E1], e2: type[E2], /, **options: Unpack[GivenValue[V]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | E2 | E3],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        /,
        **options: Unpack[FoundValue],
    ) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | E2 | E3 | Folds[V]],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        /,
        **options: Unpack[GivenValue[V]],
    ) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | E2 | E3 | E4],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        e4: type[E4],
        /,
        **options: Unpack[FoundValue],
    ) -> None: ...
    @overload
    def __init__(
        self: StateSessEvents[E1 | E2 | E3 | E4 | Folds[V]],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        e4: type[E4],
        /,
        **options: Unpack[GivenValue[V]],
    ) -> None: ...
    def __init__(self, *events: Any, **options: Any) -> None:
        super().__init__(*events, **options)
