"""Said once to each live tab, everywhere: the verbs, what they refuse, and what their answers mean."""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.test import override_settings
from django.utils.translation import gettext_lazy

from testproject.servers.waiting import wait_until
from tests.live.hubs import Hub, Tab, hubs
from via_state import telemetry
from via_state.backplanes.memory import MemoryBackplane
from via_state.exceptions import (
    BackplaneUnavailable,
    BroadcastFailed,
    BroadcastTooLarge,
    BroadcastTooOften,
    Closed,
    LiveScriptsDisabled,
    SyncVerbInEventLoop,
)
from via_state.live.announcing import announcement, inboxes
from via_state.live.announcing.announcement import Announcement, Code, Notice, Signals
from via_state.live.announcing.announcer import BURST, announcer_of
from via_state.live.announcing.audience import ALL, Group, Page, User
from via_state.live.announcing.broadcasts import (
    Plain,
    abroadcast_notify,
    abroadcast_script,
    abroadcast_signals,
    broadcast,
    broadcast_notify,
    broadcast_script,
    broadcast_signals,
)
from via_state.live.announcing.script import Script
from via_state.live.visitors.tokens import Ticket
from via_state.pod.default import using_pod
from via_state.testing import pods


class Plane(MemoryBackplane):
    """Whose messages may fail."""

    error: Exception | None = None

    async def publish(self, topic: str, data: bytes) -> None:
        if self.error is not None and topic == "b":
            raise self.error
        await super().publish(topic, data)


def live(**more: Any) -> override_settings:
    return override_settings(VIA_STATE={**getattr(settings, "VIA_STATE", {}), **more})


@pytest.fixture
def plane() -> Plane:
    return Plane()


@pytest.fixture
def two(plane: Plane) -> Iterator[tuple[Hub, Hub]]:
    """The hubs of two pods, of which the first is the one that verbs use."""
    with pods(2, plane) as made, using_pod(made[0]), hubs(*made) as (here, there):
        yield here, there


def tabs(two: tuple[Hub, Hub], **ticket: Any) -> tuple[Tab, Tab]:
    here, there = two
    return here.tab(**ticket), there.tab(**ticket)


def told(tab: Tab, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(tab.told) >= count, f"{count} messages at a tab")
    return tab.told


class Dropped:
    """Counts what is not heard, by reason."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, event: telemetry.MessageDropped) -> None:
        self.reasons.append(event.reason)


@pytest.fixture
def dropped() -> Iterator[list[str]]:
    counting = Dropped()
    telemetry.MessageDropped.subscribe(counting)
    yield counting.reasons
    telemetry.MessageDropped.unsubscribe(counting)


def test_each_tab_of_every_process_is_told_once_and_those_of_this_one_are_counted(two: tuple[Hub, Hub]) -> None:
    here, there = two
    ours, theirs = [here.tab() for _ in range(3)], [there.tab() for _ in range(2)]
    assert broadcast_notify("Back in 5 minutes") == 3
    assert broadcast_notify("We are back", level="success") == 3
    for tab in ours + theirs:
        assert [(one["kind"], one["text"], one["level"]) for one in told(tab, 2)] == [
            ("notify", "Back in 5 minutes", "info"),
            ("notify", "We are back", "success"),
        ]
    ids = {one["id"] for tab in ours + theirs for one in tab.told}
    assert len(ids) == 2, "each message has an id, the same everywhere"


def test_only_those_who_are_meant_are_told(two: tuple[Hub, Hub]) -> None:
    ada, hers = tabs(two, user="1", path="/orders/")
    bob, his = tabs(two, user="2", path="/orders/")
    assert broadcast_notify("to Ada", User(1)) == 1
    assert broadcast_notify("to orders", to=Page("/orders/")) == 2
    assert broadcast_notify("to nobody", Page("/elsewhere/")) == 0
    assert broadcast_notify("to all", ALL) == 2
    two[1].waits_for(hers, "to Ada", "to orders", "to all")
    two[1].waits_for(his, "to orders", "to all")
    assert ada.texts == ["to Ada", "to orders", "to all"]
    assert bob.texts == ["to orders", "to all"]


def test_who_leaves_between_the_call_and_the_delivery_is_not_told(two: tuple[Hub, Hub]) -> None:
    """The audience is decided where the tab is, when the message arrives there."""
    _, there = two
    stays, leaves = there.tab(groups=("staff",)), there.tab(groups=("staff",))
    arrived, left = threading.Event(), threading.Event()

    def hang() -> None:
        arrived.set()
        wait_until(left.is_set, "the leaving")
        leaves.ticket = Ticket()

    there.loop.call_soon_threadsafe(hang)
    wait_until(arrived.is_set, "the other loop")
    assert broadcast_notify("to the staff", Group("staff")) == 0
    left.set()
    there.waits_for(stays, "to the staff")
    assert leaves.told == []


def test_a_process_without_tabs_tells_those_of_others(plane: Plane) -> None:
    with pods(2, plane) as (worker, web), using_pod(worker), hubs(web) as (there,):
        tab = there.tab()
        assert broadcast_notify("done") == 0
        there.waits_for(tab, "done")


def test_signals_are_texts(two: tuple[Hub, Hub]) -> None:
    _, tab = tabs(two)
    values: dict[str, Plain] = {
        "price": Decimal("7.10"),
        "n": 7,
        "day": datetime.date(2026, 1, 2),
        "word": gettext_lazy("Sum"),
        "html": "<b>",
    }
    assert broadcast_signals(values) == 1
    (one,) = told(tab, 1)
    assert one["kind"] == "signals"
    assert one["values"] == {"price": "7.10", "n": "7", "day": "2026-01-02", "word": "Sum", "html": "<b>"}


@pytest.mark.parametrize(
    "name",
    ["", "__proto__", "constructor", "prototype", "data-via-id", "data-via", "a b", "é", "x" * 65, "a\n", "7"],
)
def test_a_name_that_could_be_something_else_is_refused(two: tuple[Hub, Hub], name: str) -> None:
    tab, _ = tabs(two)
    with pytest.raises(ValueError, match="name of a signal"):
        broadcast_signals({name: "x"})
    assert tab.told == []
    sent = announcement.encode(Announcement("s", 1, Signals({name: "x"})))
    with pytest.raises(msgspec.ValidationError, match="regex"):
        announcement.decode(sent)


def test_what_is_no_text_is_refused(two: tuple[Hub, Hub]) -> None:
    for value in ({}, [], None, b"x", object()):
        with pytest.raises(TypeError, match="Signals are texts"):
            broadcast_signals({"a": value})  # type: ignore[dict-item]
        with pytest.raises(TypeError, match="a text"):
            broadcast_notify(value)  # type: ignore[arg-type]
    for values in ({}, {f"a{number}": "" for number in range(101)}):
        with pytest.raises(ValueError, match="give 1 to 100"):
            broadcast_signals(values)
    with pytest.raises(ValueError, match="'success', 'warning', 'error'"):
        broadcast_notify("x", level="debug")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="surrogates"):
        broadcast_notify("\ud800")
    with pytest.raises(TypeError, match=r"User\(user\)"):
        broadcast_notify("x", to="everybody")  # type: ignore[arg-type]


def test_a_broadcast_that_is_too_large_tells_nobody(two: tuple[Hub, Hub]) -> None:
    ours, theirs = tabs(two)
    with pytest.raises(BroadcastTooLarge, match=r"64000.*live block"):
        broadcast_notify("x" * announcement.MOST)
    assert broadcast_notify("x" * (announcement.MOST - 100)) == 1
    assert len(told(theirs, 1)) == len(ours.told) == 1


def test_more_than_a_process_may_say_is_refused_before_anybody_is_told(two: tuple[Hub, Hub]) -> None:
    tab = two[0].tab()
    with override_settings(VIA_STATE={**settings.VIA_STATE, "BROADCAST_RATE": 1}):
        for number in range(BURST):
            assert broadcast_notify(str(number)) == 1
        with pytest.raises(BroadcastTooOften, match=r"more than 1 broadcasts a second.*state"):
            for _ in range(100):  # on a slow machine some may be said meanwhile
                broadcast_notify("too much")
        assert set(tab.texts[BURST:]) <= {"too much"}
    broadcast_notify("after it")
    assert tab.texts[-1] == "after it"


def test_where_the_carrier_fails_this_processs_tabs_are_told_and_the_caller_hears_of_it(
    two: tuple[Hub, Hub], plane: Plane
) -> None:
    ours, theirs = tabs(two)
    plane.error = BackplaneUnavailable("The server is away.")
    with pytest.raises(BroadcastFailed, match=r"1 tabs of this process.*backplane.*away"):
        broadcast_notify("one")
    assert ours.texts == ["one"]
    plane.error = None
    broadcast_notify("two")
    two[1].waits_for(theirs, "two")


async def test_in_an_event_loop_the_twins_say_the_same(two: tuple[Hub, Hub]) -> None:
    refused: list[tuple[Callable[[], int], str]] = [
        (lambda: broadcast_notify("x"), "abroadcast_notify"),
        (lambda: broadcast_signals({"a": "x"}), "abroadcast_signals"),
        (lambda: broadcast_script(Script("x()")), "abroadcast_script"),
    ]
    for verb, twin in refused:
        with pytest.raises(SyncVerbInEventLoop, match=twin):
            verb()
    tab, _ = tabs(two)
    with live(LIVE_SCRIPTS=True):
        twins: list[Awaitable[int]] = [
            abroadcast_notify("x"),
            abroadcast_signals({"a": 1}),
            abroadcast_script(Script("x()")),
        ]
        assert [await one for one in twins] == [1, 1, 1]
    assert [one["kind"] for one in tab.told] == ["notify", "signals", "script"]


# Scripts ------------------------------------------------------------------------------------------------------


def test_a_script_is_refused_unless_a_setting_says_so(two: tuple[Hub, Hub]) -> None:
    tab, _ = tabs(two)
    with pytest.raises(LiveScriptsDisabled, match="LIVE_SCRIPTS"):
        broadcast_script(Script("alert(1)"))
    assert tab.told == []


def test_a_script_is_of_a_type_of_its_own_and_its_caller_is_logged(
    two: tuple[Hub, Hub], caplog: pytest.LogCaptureFixture
) -> None:
    _, tab = tabs(two)
    with live(LIVE_SCRIPTS=True), caplog.at_level(logging.INFO, "via_state.broadcast"):
        with pytest.raises(TypeError, match="Script"):
            broadcast_script(f"alert({1})")  # type: ignore[arg-type]
        assert broadcast(Script("confetti(count)", count="</script>\"'"), to=ALL) == 1
    (one,) = told(tab, 1)
    assert one["kind"] == "script"
    assert one["code"] == '{const count="</script>\\"\'";confetti(count)\n}'
    assert "tests.live.test_broadcast" in caplog.text
    assert "confetti" not in caplog.text
    with pytest.raises(ValueError, match="constant"):
        Script("x", **{"a=1;alert(1)//": 1})


def test_a_script_of_another_process_is_not_run_where_the_setting_is_off(
    two: tuple[Hub, Hub], dropped: list[str]
) -> None:
    here, there = two
    tab = there.tab()
    here.pod.thread.call(announcer_of(here.pod).say(Code("alert(1)")))
    broadcast_notify("after it")
    there.waits_for(tab, "after it")
    assert dropped == ["scripts"]


# What is heard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
        b"\x91" * 5000,
        announcement.encode(["s", 1, ["Notice", "x", "debug"]]),
        announcement.encode(["s", 1, ["Notice", "x", "info", "more"]]),
        announcement.encode(["s", -1, ["Notice", "x", "info"]]),
        announcement.encode(["s", 1, ["Eval", "x"]]),
        announcement.encode(["s", 1, ["Notice", "x", "info"], ["everybody"]]),
    ],
)
def test_what_is_not_of_this_form_is_dropped_and_counted(
    two: tuple[Hub, Hub], data: bytes, dropped: list[str]
) -> None:
    here, there = two
    tab = there.tab()
    here.pod.thread.call(here.pod.messages.publish("b", data))  # by somebody who has SECRET_KEY
    broadcast_notify("after it")
    there.waits_for(tab, "after it")
    assert set(dropped) == {"form"}


def test_a_stranger_and_a_replay_are_not_heard(two: tuple[Hub, Hub], plane: Plane, dropped: list[str]) -> None:
    here, there = two
    tab, carried = there.tab(), list[bytes]()

    async def listen() -> None:
        plane.hear("b", carried.append)

    here.pod.thread.call(listen())
    broadcast_notify("once")
    there.waits_for(tab, "once")
    forged = announcement.encode(Announcement("0" * 16, 1, Notice("forged", "error")))
    for data in (forged, b"\0" * 40 + forged, carried[0]):
        here.pod.thread.call(plane.publish("b", data))
    broadcast_notify("after it")
    there.waits_for(tab, "once", "after it")
    assert sorted(dropped) == ["forged"] * 4 + ["replay"] * 2  # by both processes


def test_a_loop_that_hangs_costs_the_oldest_messages_and_no_other_loop_anything(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, dropped: list[str]
) -> None:
    monkeypatch.setattr(inboxes, "MOST", 3)
    monkeypatch.setattr("via_state.live.announcing.announcer.WAIT", 0.05)
    with pods(1, plane) as (pod,), using_pod(pod), hubs(pod, pod) as (hung, well):
        release = asyncio.Event()
        stuck, tab = hung.tab(), well.tab()

        def hang() -> None:
            wait_until(release.is_set, "the release")

        hung.loop.call_soon_threadsafe(hang)
        assert [broadcast_notify(str(number)) for number in range(6)] == [1] * 6
        assert tab.texts == [str(number) for number in range(6)]
        release.set()
        hung.waits_for(stuck, "3", "4", "5")
        assert dropped == ["full"] * 3


def test_a_closed_pod_says_so(plane: Plane) -> None:
    with pods(1, plane) as (pod,):
        pass
    with using_pod(pod), pytest.raises(Closed):
        broadcast_notify("x")
