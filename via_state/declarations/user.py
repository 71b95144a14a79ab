"""State of one signed-in user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from via_state.declarations.cell import Cell
from via_state.declarations.event_log import E1, E2, E3, E4, EventLog, Folds, FoundValue, GivenValue
from via_state.declarations.user_scope import USER

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
V = TypeVar("V")
E_co = TypeVar("E_co", covariant=True)


class StateUser(Cell[T], Generic[T]):
    """``theme = StateUser(str, default="auto")``: used as ``Feed(request).theme``.

    Anonymous visitors read the initial value; writing raises `UserRequired`.
    """

    scope = USER


class StateUserEvents(EventLog[E_co], Generic[E_co]):
    """``orders = StateUserEvents(Ordered | Paid)``: a log of each user's, used as ``Feed(request).orders``.

    Anonymous visitors read the initial value; appending raises `UserRequired`. Events and options are those of `EventLog`.
    """

    scope = USER

    # A type checker finds the events in these signatures, and the value in their folds.
    @overload
    def __init__(self: StateUserEvents[E1], events: TypeForm[E1], /, **options: Unpack[FoundValue]) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | Folds[V]], events: TypeForm[E1], /, **options: Unpack[GivenValue[V]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | E2], e1: type[E1], e2: type[E2], /, **options: Unpack[FoundValue]
    ) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | E2 | Folds[V]], e1: type[E1], e2: type[E2], /, **options: Unpack[GivenValue[V]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | E2 | E3],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        /,
        **options: Unpack[FoundValue],
    ) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | E2 | E3 | Folds[V]],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        /,
        **options: Unpack[GivenValue[V]],
    ) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | E2 | E3 | E4],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        e4: type[E4],
        /,
        **options: Unpack[FoundValue],
    ) -> None: ...
    @overload
    def __init__(
        self: StateUserEvents[E1 | E2 | E3 | E4 | Folds[V]],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        e4: type[E4],
        /,
        **options: Unpack[GivenValue[V]],
    ) -> None: ...
    def __init__(self, *events: Any, **options: Any) -> None:
        super().__init__(*events, **options)
