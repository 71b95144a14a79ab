"""State inside Django's own test cases."""

from __future__ import annotations

from django.test import SimpleTestCase, TestCase

from tests.declarations.events import AddItem
from via_state import State, StateApp, StateAppEvents
from via_state.testing import StateTestMixin


class Board(State):
    items = StateAppEvents(AddItem, key="testcase.items")
    banner = StateApp(str, key="testcase.banner")


class WithoutDatabase(StateTestMixin, SimpleTestCase):
    def test_state_works_where_queries_are_forbidden(self) -> None:
        Board.items.append(AddItem("a"))
        Board.banner.set("hello")
        assert (Board.items.read(), Board.banner.read()) == (["a"], "hello")

    async def test_state_works_in_an_async_test(self) -> None:
        await Board.items.aappend(AddItem("a"))
        assert await Board.items.aread() == ["a"]

    def test_each_test_starts_empty(self) -> None:
        assert (Board.items.read(), Board.banner.read()) == ([], "")


class WithDatabase(StateTestMixin, TestCase):
    def test_state_works_inside_the_tests_transaction(self) -> None:
        Board.items.append(AddItem("a"))
        assert Board.items.read() == ["a"]

    def test_an_append_on_commit_follows_the_rule_of_on_commit(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            Board.items.append_on_commit(AddItem("a"))
        Board.items.append_on_commit(AddItem("never"))
        self.drain()
        assert Board.items.read() == ["a"]
