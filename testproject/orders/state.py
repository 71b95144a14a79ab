"""The order book, and what ships its orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from testproject.orders.models import Shipment
from via_state import Delivery, Poison, Retry, State, StateApp, StateAppEvents, live

#: Orders that the book shows.
REMEMBERED = 200
#: Nobody finds this address.
NOWHERE = "nowhere"
AT_WORK, ON_STRIKE = "at work", "on strike"


@dataclass(frozen=True, slots=True)
class Order:
    """A line of the book."""

    order: str
    item: str
    address: str
    status: str = "ordered"

    @property
    def kind(self) -> str:
        """The first word of its status."""
        return self.status.split()[0]


@dataclass(frozen=True, slots=True)
class Placed:
    """Somebody ordered something."""

    order: str
    item: str
    address: str

    def fold(self, book: list[Order]) -> list[Order]:
        return [*book, Order(self.order, self.item, self.address)][-REMEMBERED:]


@dataclass(frozen=True, slots=True)
class Corrected:
    """Somebody gave an order another address."""

    order: str
    address: str

    def fold(self, book: list[Order]) -> list[Order]:
        return _changed(book, self.order, lambda one: replace(one, address=self.address))


@dataclass(frozen=True, slots=True)
class Shipped:
    """An order has left the house."""

    order: str

    def fold(self, book: list[Order]) -> list[Order]:
        return _changed(book, self.order, lambda one: replace(one, status="shipped"))


@dataclass(frozen=True, slots=True)
class SetAside:
    """An order was given up on; somebody must look at it."""

    order: str
    why: str

    def fold(self, book: list[Order]) -> list[Order]:
        return _changed(book, self.order, lambda one: replace(one, status=f"set aside: {self.why}"))


def _changed(book: list[Order], order: str, change: Callable[[Order], Order]) -> list[Order]:
    return [change(one) if one.order == order else one for one in book]


class Orders(State):
    book = StateAppEvents(Placed, Corrected, Shipped, SetAside, key="orders")
    carrier = StateApp(str, default=AT_WORK, key="carrier")


@live.fragment("orders/_table.html", shared=True)
def table() -> dict[str, Any]:
    """The book, the newest order first. Rows that did not change are not made again."""
    return {"orders": Orders.book.read()[::-1]}


@live.fragment("orders/_summary.html", shared=True)
def summary() -> dict[str, Any]:
    """How many orders stand where."""
    count = Counter(one.kind for one in Orders.book.read())
    return {"waiting": count["ordered"], "shipped": count["shipped"], "aside": count["set"]}


def set_aside(event: Placed, delivery: Delivery, error: Exception) -> None:
    """Tell the visitors that this order became a dead letter."""
    Orders.book.append(SetAside(event.order, str(error)), wait=False)


@Orders.book.on_event("ship", Placed, retry=Retry(base=0.5, max=2.0), dead_letter=set_aside, atomic=True)
def ship(event: Placed, delivery: Delivery) -> None:
    """Ship an order: a row, and an event, both in the transaction that also moves the handler on."""
    if Orders.carrier.read() == ON_STRIKE:
        raise ConnectionError("The carrier is on strike.")  # tried again, and the orders after it wait
    book = {one.order: one for one in Orders.book.read(at_least=None)}
    address = book[event.order].address if event.order in book else event.address
    if address.casefold() == NOWHERE:
        raise Poison(f"no carrier finds {address!r}")
    Shipment.objects.create(order=event.order, item=event.item, address=address)
    Orders.book.append_on_commit(Shipped(event.order))
