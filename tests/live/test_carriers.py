"""Every carrier takes announcements to every process, and gives strangers no voice."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from django.conf import settings
from django.test import override_settings

from testproject.servers.waiting import wait_until
from tests.live.hubs import Hub, hubs
from tests.live.world import CORE, PUBSUB, World, world_of
from tests.pod.world import STORED
from via_state import telemetry
from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.backplanes.nats import NatsBackplane
from via_state.backplanes.postgres import PostgresBackplane
from via_state.exceptions import BroadcastFailed
from via_state.live.announcing.announcer import announcer_of
from via_state.live.announcing.broadcasts import broadcast_notify, broadcast_signals
from via_state.live.announcing.carriers.choice import chosen
from via_state.live.announcing.carriers.layer import _disconnect, group_name
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod

OURS, IN_MEMORY = "via_state.layers.BackplaneChannelLayer", "channels.layers.InMemoryChannelLayer"
STORES = [pytest.param("postgres", marks=STORED), pytest.param("nats", marks=STORED)]
KINDS = ["memory", CORE, PUBSUB, *STORES]


def url_for(kind: str, request: pytest.FixtureRequest) -> str:
    """The address of the server that it needs, which is there."""
    if "." in kind:
        url: str = request.getfixturevalue("redis").url
        return url
    if kind != "memory":
        request.getfixturevalue("postgres")
        request.getfixturevalue("nats")
    return f"nats://{settings.NATS_TOKEN}@127.0.0.1:{settings.NATS_PORT}"


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with world_of(request.param, url_for(request.param, request)) as made:
        yield made


@pytest.fixture
def dropped() -> Iterator[list[str]]:
    reasons: list[str] = []

    def count(event: telemetry.MessageDropped) -> None:
        reasons.append(event.reason)

    telemetry.MessageDropped.subscribe(count)
    yield reasons
    telemetry.MessageDropped.unsubscribe(count)


def test_each_tab_of_both_processes_is_told_once(world: World) -> None:
    ours, theirs = world.here.tab(), world.there.tab()
    texts = [f"{number} ü" for number in range(10)] + ["x" * 50_000]
    for text in texts:
        assert broadcast_notify(text) == 1
    world.there.waits_for(theirs, *texts)
    with using_pod(world.pods[1]):
        assert broadcast_signals({"last": "1"}) == 1
    wait_until(lambda: len(ours.told) > len(texts), "the signal")
    assert ours.texts == [*texts, None]
    assert theirs.texts == [*texts, None]


def test_what_a_stranger_writes_is_dropped_and_counted(world: World, dropped: list[str]) -> None:
    tab = world.there.tab()

    class Run:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return pytest.fail, ("a pickle was loaded",)

    garbage = [b"", b"\xff\x00garbage" * 20, pickle.dumps(Run()), b"\x81\xa1d\xa3abc", b"\xc1" * 100]
    for data in garbage[1:] if world.kind == CORE else garbage:
        world.write(data)
    if world.of_layer:
        # Well-formed for the layer: a message of Channels that a stranger made.
        layer = channel_layers.make_backend("default")
        for d in ("x", base64.b64encode(b"\0" * 200).decode(), 7, None, "é", "x" * 200_000):

            async def send(d: object = d) -> None:
                await layer.group_send(group_name(), {"type": "via.live", "d": d})

            world.pods[0].thread.call(send())
        world.pods[0].thread.call(_disconnect(layer))
    broadcast_notify("after it")
    world.there.waits_for(tab, "after it")
    assert set(dropped) <= {"forged", "form"}
    wait_until(lambda: len(dropped) >= 8, "counts of both processes")


def test_a_message_that_is_repeated_is_dropped_and_counted(world: World, dropped: list[str]) -> None:
    if world.of_layer:
        spied = channel_layers.make_backend("default")

        async def join() -> str:
            channel: str = await spied.new_channel("specific")
            await spied.group_add(group_name(), channel)
            return channel

        channel = world.pods[0].thread.call(join())
    carried: list[bytes] = []
    if not world.of_layer:

        async def listen() -> None:
            await world.pods[0].backplane.hear("b", carried.append).holds()

        world.pods[0].thread.call(listen())
    tab = world.there.tab()
    broadcast_notify("once")
    world.there.waits_for(tab, "once")
    if world.of_layer:
        message = world.pods[0].thread.call(spied.receive(channel))

        async def again() -> None:
            await spied.group_send(group_name(), message)

        world.pods[0].thread.call(again())
        world.pods[0].thread.call(_disconnect(spied))
    else:
        wait_until(lambda: bool(carried), "what was carried")
        world.write(carried[0])
    broadcast_notify("after it")
    world.there.waits_for(tab, "once", "after it")
    wait_until(lambda: dropped.count("replay") >= 2, "the counts of both processes")


def test_a_pod_that_is_closed_leaves_nothing(world: World) -> None:
    carrier: Any = announcer_of(world.pods[1]).carrier
    world.pods[1].close()
    assert all(task.done() for task in getattr(carrier, "_tasks", ()))
    broadcast_notify("x")


@pytest.mark.parametrize(
    ("setting", "layer", "plane", "expected"),
    [
        ("auto", CORE, MemoryBackplane, "layer"),
        ("auto", PUBSUB, PostgresBackplane, "layer"),
        ("auto", OURS, PostgresBackplane, "backplane"),
        ("auto", IN_MEMORY, NatsBackplane, "backplane"),
        ("auto", None, MemoryBackplane, "backplane"),
        ("auto", None, PostgresBackplane, "backplane"),
        ("local", CORE, PostgresBackplane, "local"),
        ("backplane", CORE, PostgresBackplane, "backplane"),
        ("layer", IN_MEMORY, MemoryBackplane, "layer"),
    ],
)
def test_what_carries_is_chosen_by_the_settings(
    setting: str, layer: str | None, plane: type[Backplane], expected: str
) -> None:
    layers = {} if layer is None else {"default": {"BACKEND": layer}}
    with override_settings(VIA_STATE={"BROADCAST": setting}, CHANNEL_LAYERS=layers):
        assert chosen(plane) == expected


def test_a_prefix_that_channels_does_not_take_has_a_group_all_the_same() -> None:
    names = set()
    for prefix in ("via", "ü", "a b", "x" * 200):
        with override_settings(VIA_STATE={"PREFIX": prefix}):
            names.add(group_name())
    assert "via-live" in names
    assert len(names) == 4
    assert all(len(name) < 100 and name.isascii() for name in names)


def test_with_the_local_carrier_only_this_process_is_told() -> None:
    made: list[Hub] = []
    with override_settings(VIA_STATE={"BROADCAST": "local"}):
        plane = MemoryBackplane()
        pods = [Pod(plane, owns_backplane=False) for _ in range(2)]
        try:
            with hubs(*pods) as made, using_pod(pods[0]):
                ours, theirs = made[0].tab(), made[1].tab()
                assert broadcast_notify("x") == 1
                assert ours.texts == ["x"]
                assert theirs.told == []
        finally:
            for pod in pods:
                pod.close()


class Broken:
    """A layer that can't be made."""

    def __init__(self, **config: Any) -> None:
        raise KeyError("hosts")


class Impatient(InMemoryChannelLayer):  # type: ignore[misc]
    """Raises in silence, as channels-redis does with redis-py 8."""

    quiet = True

    async def receive(self, channel: str) -> Any:
        if Impatient.quiet:
            Impatient.quiet = False
            raise OSError("nobody said anything")
        return await super().receive(channel)


@contextmanager
def one_hub(layer: str) -> Iterator[Hub]:
    """Of a process whose layer is this."""
    layers = {"default": {"BACKEND": f"{__name__}.{layer}"}}
    with override_settings(VIA_STATE={"BROADCAST": "layer"}, CHANNEL_LAYERS=layers):
        pod = Pod(MemoryBackplane())
        try:
            with using_pod(pod), hubs(pod, waits=layer != "Broken") as (hub,):
                yield hub
        finally:
            pod.close()


def test_a_layer_that_can_not_be_made_costs_this_processs_tabs_nothing() -> None:
    with one_hub("Broken") as hub:
        tab = hub.tab()
        with pytest.raises(BroadcastFailed, match=r"1 tabs.*layer.*KeyError"):
            broadcast_notify("x")
        assert tab.texts == ["x"]


def test_a_layer_that_raises_in_silence_is_not_away(caplog: pytest.LogCaptureFixture) -> None:
    Impatient.quiet = True
    with one_hub("Impatient") as hub:
        carrier: Any = announcer_of(hub.pod).carrier
        heard: list[Any] = []
        wait_until(lambda: not Impatient.quiet, "the error")
        layer = carrier._made

        async def say() -> None:
            carrier._heard = lambda message, hear: heard.append(message)
            await layer.group_send(group_name(), {"type": "via.live", "d": "x"})

        hub.pod.thread.call(say())
        wait_until(lambda: len(heard) == 1, "what was said after it")
    assert "channel layer" not in caplog.text
