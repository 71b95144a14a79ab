"""State of everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from via_state.declarations.cell import Cell
from via_state.declarations.event_log import E1, E2, E3, E4, EventLog, Folds, FoundValue, GivenValue
from via_state.declarations.scope import APP

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
V = TypeVar("V")
E_co = TypeVar("E_co", covariant=True)


class StateApp(Cell[T], Generic[T]):
    """``banner = StateApp(str)``: one value, the same on every pod."""

    scope = APP


class StateAppEvents(EventLog[E_co], Generic[E_co]):
    """``items = StateAppEvents(AddItem)``: a log of everybody's, and the value that its events fold to.

    Several event classes are a union, ``StateAppEvents(Posted | Left)``, or up to four are given one by one. The options are
    those of `EventLog`.
    """

    scope = APP

    # A type checker finds the events in these signatures, and the value in their folds.
    @overload
    def __init__(self: StateAppEvents[E1], events: TypeForm[E1], /, **options: Unpack[FoundValue]) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | Folds[V]], events: TypeForm[E1], /, **options: Unpack[GivenValue[V]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2], e1: type[E1], e2: type[E2], /, **options: Unpack[FoundValue]
    ) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | Folds[V]], e1: type[E1], e2: type[E2], /, **options: Unpack[GivenValue[V]]
    ) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        /,
        **options: Unpack[FoundValue],
    ) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3 | Folds[V]],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        /,
        **options: Unpack[GivenValue[V]],
    ) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3 | E4],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        e4: type[E4],
        /,
        **options: Unpack[FoundValue],
    ) -> None: ...
    @overload
    def __init__(
        self: StateAppEvents[E1 | E2 | E3 | E4 | Folds[V]],
        e1: type[E1],
        e2: type[E2],
        e3: type[E3],
        e4: type[E4],
        /,
        **options: Unpack[GivenValue[V]],
    ) -> None: ...
    def __init__(self, *events: Any, **options: Any) -> None:
        super().__init__(*events, **options)
