"""Broadcasts that were lost on the way: counted where it is seen, and asked for where they are kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings
from prometheus_client import REGISTRY

from testproject.servers.waiting import wait_until
from tests.live.hubs import hubs
from via_state import telemetry
from via_state.backplanes.memory import MemoryBackplane
from via_state.live.announcing.broadcasts import (
    broadcast_notify,
)
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod
from via_state.testing import pods


@pytest.fixture
def lost() -> Iterator[list[int]]:
    counts: list[int] = []

    def count(event: telemetry.BroadcastsLost) -> None:
        counts.append(event.count)

    telemetry.BroadcastsLost.subscribe(count)
    yield counts
    telemetry.BroadcastsLost.unsubscribe(count)


class Lossy(MemoryBackplane):
    """Loses messages without a word."""

    losing = False

    async def publish(self, topic: str, data: bytes) -> None:
        if not (self.losing and topic == "b"):
            await super().publish(topic, data)


def gaps(outcome: str) -> float:
    return REGISTRY.get_sample_value("via_broadcast_gaps_total", {"outcome": outcome}) or 0.0


def lose(two: list[Pod], plane: Lossy) -> None:
    with using_pod(two[0]):
        broadcast_notify("1")
        plane.losing = True
        broadcast_notify("2")
        broadcast_notify("3")
        plane.losing = False


def test_a_gap_is_counted_where_it_is_seen(lost: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.live.announcing.repair.OVERTAKING", 0.1)
    plane = Lossy()
    with pods(2, plane) as made, hubs(*made) as (_, there):
        tab = there.tab()
        lose(made, plane)
        with using_pod(made[0]):
            broadcast_notify("4")
        there.waits_for(tab, "1", "4")
        wait_until(lambda: sum(lost) == 2, "two lost messages")


@pytest.mark.parametrize("more", [True, False])
def test_with_a_memory_what_was_missed_is_asked_for_and_said_again(
    lost: list[int], monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    """Also where nothing follows that would show the gap."""
    for name in ("OVERTAKING", "LOOK", "SAY"):
        monkeypatch.setattr(f"via_state.live.announcing.repair.{name}", 0.1)
    plane, found = Lossy(), gaps("found")
    with (
        override_settings(VIA_STATE={"BROADCAST_KEEP": 30.0}),
        pods(3, plane) as made,
        hubs(*made[1:]) as (there, elsewhere),
    ):
        tab, other = there.tab(), elsewhere.tab()
        lose(made, plane)
        expected = ["1", "2", "3"]
        if more:
            with using_pod(made[0]):
                broadcast_notify("4")
            expected.append("4")
        for one in (tab, other):
            wait_until(lambda one=one: len(one.told) >= len(expected), "what was missed")  # type: ignore[misc]
            assert sorted(one.texts) == expected
        assert lost == []
        wait_until(lambda: gaps("found") == found + 4, "two gaps of each that are closed")


def test_what_nobody_has_any_more_is_lost_after_all(lost: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OVERTAKING", "LOOK"):
        monkeypatch.setattr(f"via_state.live.announcing.repair.{name}", 0.05)
    monkeypatch.setattr("via_state.live.announcing.kept.MOST", 1)
    plane = Lossy()
    with override_settings(VIA_STATE={"BROADCAST_KEEP": 0.5}), pods(2, plane) as made, hubs(*made) as (_, there):
        tab = there.tab()
        lose(made, plane)
        with using_pod(made[0]):
            broadcast_notify("4")
        there.waits_for(tab, "1", "4")
        wait_until(lambda: sum(lost) == 2, "two lost messages")
