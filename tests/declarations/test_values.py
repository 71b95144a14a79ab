"""Values that are replaced as a whole, by their verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from via_state import State, StateApp
from via_state.exceptions import DeclarationError, InvalidKey, SyncVerbInEventLoop, ValueRefused
from via_state.testing import pods


@dataclass
class Profile:
    name: str = ""
    tags: list[str] = field(default_factory=list)


class Site(State):
    banner = StateApp(str, key="values.banner")
    limit = StateApp[int | None](default=None, key="values.limit")
    links = StateApp(list[str], default=["home"], key="values.links")
    profile = StateApp(Profile, default=lambda: Profile("nobody"), key="values.profile")
    notice = StateApp(str, key="values.notice.{site}")


def test_a_value_is_read_set_updated_and_reset() -> None:
    assert Site.banner.read() == ""
    assert Site.banner.set("hello") == "hello"
    assert Site.banner.update(str.upper) == "HELLO"
    assert Site.banner.read() == "HELLO"
    Site.banner.reset()
    assert Site.banner.read() == ""


async def test_a_value_is_read_set_updated_and_reset_in_an_event_loop() -> None:
    async def shout(old: str) -> str:
        await asyncio.sleep(0)
        return old.upper()

    assert await Site.banner.aread() == ""
    assert await Site.banner.aset("hello") == "hello"
    assert await Site.banner.aupdate(shout) == "HELLO"
    assert await Site.banner.aupdate(lambda old: f"{old}!") == "HELLO!"
    assert Site.banner.read() == "HELLO!"
    await Site.banner.areset()
    assert await Site.banner.aread() == ""


def test_an_optional_type_is_written_as_subscript() -> None:
    assert Site.limit.read() is None
    assert Site.limit.set(3) == 3
    assert Site.limit.update(lambda old: (old or 0) + 1) == 4
    Site.limit.set(None)
    assert Site.limit.read() is None


def test_a_default_is_a_value_or_a_function_and_never_shared() -> None:
    Site.links.read().append("mine")
    Site.profile.read().tags.append("mine")
    with pods(1) as (pod,):
        assert Site.links.using(pod).read() == ["home"]
        assert Site.profile.using(pod).read() == Profile("nobody")
    assert Site.links.update(lambda old: [*old, "news"])[-1] == "news"


def test_values_of_dataclasses_are_stored() -> None:
    Site.profile.set(Profile("ann", ["a"]))
    assert Site.profile.read() == Profile("ann", ["a"])


def test_a_value_of_another_type_is_refused_and_nothing_is_written() -> None:
    Site.banner.set("hello")
    with pytest.raises(ValueRefused):
        Site.banner.set(cast(Any, 3))
    assert Site.banner.read() == "hello"


def test_what_an_update_raises_is_raised_and_nothing_is_written() -> None:
    Site.banner.set("hello")
    with pytest.raises(ZeroDivisionError):
        Site.banner.update(lambda old: old * (1 // 0))
    assert Site.banner.read() == "hello"


def test_members_of_a_family_are_separate_values() -> None:
    Site.notice.at(site="a").set("one")
    assert Site.notice.at(site="a").read() == "one"
    assert Site.notice.at(site="b").read() == ""
    with pytest.raises(InvalidKey, match="site is missing"):
        Site.notice.set("x")


def test_a_value_belongs_to_everybody_also_through_an_owner() -> None:
    Site({}).banner.set("hello")
    assert Site.banner.read() == "hello"


async def test_blocking_verbs_name_their_twin_in_an_event_loop() -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: Site.banner.set("x"), "aset"),
        (lambda: Site.banner.update(str.upper), "aupdate"),
        (lambda: Site.banner.reset(), "areset"),
        (lambda: Site.notice.at(site=1).read(), "aread"),
    ]
    for call, twin in calls:
        with pytest.raises(SyncVerbInEventLoop, match=twin):
            call()
    assert Site.banner.read() == ""


async def test_changes_give_the_value_now_and_each_newer_one() -> None:
    seen = []
    async with asyncio.timeout(5), aclosing(cast(Any, Site.banner.changes())) as values:
        async for value in values:
            seen.append(value)
            if len(seen) == 3:
                break
            await Site.banner.aset(str(len(seen)))
    assert seen == ["", "1", "2"]


def test_a_handle_can_be_bound_to_another_pod() -> None:
    with pods(2) as (one, other):
        Site.banner.using(one).set("hello")
        assert Site.banner.using(other).read() == "hello"
    assert Site.banner.read() == ""


def test_a_handle_shows_what_it_is() -> None:
    assert repr(Site.banner) == "<StateApp tests.Site.banner>"


def test_state_outside_of_a_state_class_says_where_it_belongs() -> None:
    class NoState:
        banner = StateApp(str)

    for loose in (NoState.banner, StateApp(str)):
        with pytest.raises(DeclarationError, match="inherits State"):
            loose.read()
