"""Rows whose objects are new at each read: remembered by what they say, where nothing but exactly that can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils.safestring import mark_safe

from tests.live.pieces import templates, visitor
from tests.live.tagged import LOAD, blank
from tests.live.test_block_tags import rows_of
from via_state import State, StateApp, live
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.renderer import render


@pytest.fixture(autouse=True)
def state() -> Iterator[None]:
    with blank():
        yield


@dataclass(frozen=True)
class Priced:
    name: str
    price: Any
    looks: ClassVar[list[str]] = []

    def shown(self) -> str:
        self.looks.append(self.name)
        return f"{self.price}"


def test_a_row_that_says_exactly_the_same_is_not_rendered_again() -> None:
    """What is read of a cell is made of new objects each time."""

    class Shop(State):
        goods = StateApp(list[Priced], key="tests.goods")

    @live.fragment("rows.html", shared=True)
    def table() -> dict[str, Any]:
        return {"rows": Shop.goods.read()}

    with templates(rows=LOAD + "{% via_for row in rows %}<i>{{ row.shown }}</i>{% endvia_for %}"):
        spec = fragments.get("rows.html").spec({})
        Shop.goods.set([Priced("tea", "1.0"), Priced("jam", "2"), Priced("jam", "2")])
        assert render(spec, visitor()).body == "<i>1.0</i><i>2</i><i>2</i>"
        Priced.looks.clear()
        Shop.goods.set([Priced("jam", "2"), Priced("tea", "1.00"), Priced("jam", "2")])
        assert render(spec, visitor()).body == "<i>2</i><i>1.00</i><i>2</i>"
        assert Priced.looks == ["tea"]


@pytest.mark.parametrize(("one", "other"), [
    (1, True), (1, 1.0), (0.0, -0.0), (Decimal("1.0"), Decimal("1.00")), ("a", mark_safe("a")), ([1], (1,)),
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))),
    (User(pk=1, username="ada"), User(pk=1, username="bob")), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
])  # fmt: skip
def test_what_is_equal_and_shows_something_else_is_rendered_again(one: Any, other: Any) -> None:
    rows = [Priced("x", one)]
    with templates(rows=LOAD + "{% via_for row in rows %}{{ row.price }}{{ row.shown }}{% endvia_for %}"):
        frame = rows_of(rows)
        frame()
        Priced.looks.clear()
        rows[:] = [Priced("x", other)]
        frame()
    assert Priced.looks == ["x"]
