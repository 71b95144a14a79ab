"""Values that expire do so by the store's clock, on every pod, whatever the clocks of the pods say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import cast

import pytest
from django.test import override_settings

from testproject.servers.waiting import wait_until
from tests.pod.world import EVERY, World, kind_of, world_of
from via_state.core.cells import CellCodec
from via_state.core.records import Cell
from via_state.core.specs import CellSpec
from via_state.exceptions import BackplaneUnavailable
from via_state.testing.conformance.store import until_absent

KEY = "tests.short"


def lasting(seconds: float) -> CellSpec[str]:
    """As a session declares its value."""
    return CellSpec(KEY, CellCodec(str), str, family=True, ttl=seconds)


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Its pods hear no doorbell, and do not sweep in the time of a test."""
    with world_of(kind_of(request), RECONCILE_INTERVAL=3600.0) as made:
        made.plane.deaf = True
        yield made


def stored(world: World) -> Cell | None:
    return cast("Cell | None", world.run(world.inner.load(KEY)))


def test_an_expired_value_is_shown_by_no_pod(world: World) -> None:
    pods, spec = [world.start(), world.start()], lasting(1.0)
    pods[0].set(KEY, spec, "secret")
    assert [pod.get(KEY, spec) for pod in pods] == ["secret", "secret"]
    world.run(until_absent(world.inner, KEY))
    # Each goes by the server's clock as it knows it: to some milliseconds.
    wait_until(lambda: [pod.get(KEY, spec) for pod in pods] == ["", ""], "both show that it expired")
    assert [pod.update(KEY, lasting(100.0), lambda old: old + "x") for pod in pods] == ["x", "xx"]


def test_what_expired_while_the_store_is_away_is_not_shown_either(world: World) -> None:
    pod, spec = world.start(), lasting(0.3)
    pod.set(KEY, spec, "secret")
    world.run(until_absent(world.inner, KEY))
    world.plane.down = True
    with override_settings(VIA_STATE={"READ_TIMEOUT": 0.05}), pytest.raises(BackplaneUnavailable):
        pod.get(KEY, spec)


async def test_whoever_listens_hears_that_a_value_expired(world: World) -> None:
    with override_settings(VIA_STATE={"RECONCILE_INTERVAL": 0.05}):
        pod, spec = world.start(), lasting(0.3)
        await pod.aset(KEY, spec, "secret")
        seen = []
        changes = cast("AsyncGenerator[str, None]", pod.cell_changes(KEY, spec))
        async with asyncio.timeout(20), aclosing(changes):
            async for value in changes:
                seen.append(value)
                if value == "":
                    break
        assert set(seen) == {"secret", ""}


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_value_in_use_lives_on_whatever_the_clock_of_its_writer_says(
    world: World, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    writer, reader, spec = world.start(), world.start(), lasting(10.0)
    clock = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: clock() + hours * 3600)
        writer.set(KEY, spec, "alive")
    first = stored(world)
    assert first is not None
    revision, deadline = first.revision, time.monotonic() + 15
    while revision == first.revision:
        assert time.monotonic() < deadline, "its use does not renew it"
        assert reader.get(KEY, spec) == "alive"
        found = stored(world)
        assert found is not None, "it expired in use"
        revision = found.revision
