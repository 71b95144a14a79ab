"""What is said to the channel layer by somebody who has no business there."""

from __future__ import annotations

import pytest

from tests.layers.conftest import Layer, Make
from tests.layers.messages import nothing, of, soon
from tests.pod.world import EVERY
from via_state import telemetry
from via_state.layers import parcels
from via_state.layers.parcels import Circular
from via_state.testing.conformance.harness import eventually


@pytest.mark.parametrize("make", EVERY[:1], indirect=True)
async def test_garbage_is_dropped(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    layer = make()
    channel = await layer.new_channel()
    pod = layer.of_test
    for data in (b"", b"\xc1", b"\x93\xa6Letter\xa1c\xc4\x01x", b"\x91\xa4Evil", b"\x80"):
        await pod.thread.acall(pod.messages.publish(f"layer-p-{layer.process}", data))
    await nothing(layer, channel)
    assert caplog.text.count("was dropped") == 5


async def test_what_a_stranger_writes_to_the_server_is_dropped_and_counted(two: tuple[Layer, Layer]) -> None:
    """Who may write to the database, or to NATS, and does not have SECRET_KEY."""
    here, there = two
    channel = await there.new_channel()
    await there.group_add("group", channel)
    carried, dropped = list[bytes](), list[str]()
    topic = parcels.group_topic("group")

    def count(event: telemetry.MessageDropped) -> None:
        dropped.append(event.reason)

    async def write(data: bytes) -> None:
        await here.of_test.thread.acall(here.of_test.backplane.publish(topic, data))

    async def listen() -> None:
        await here.of_test.backplane.hear(topic, carried.append).holds()

    await here.of_test.thread.acall(listen())
    await here.group_send("group", of(1))
    assert await soon(there.receive(channel)) == of(1)
    await eventually(lambda: bool(carried), "what was carried")
    telemetry.MessageDropped.subscribe(count)
    try:
        forged = parcels.encode(Circular("group", parcels.pack(of(2)), 60.0))
        pickled = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94."
        for data in (b"", pickled, forged, b"\0" * 40 + forged, carried[0]):
            await write(data)
        await here.group_send("group", of(3))
        assert await soon(there.receive(channel)) == of(3)
        assert sorted(dropped) == ["forged"] * 4 + ["replay"]
    finally:
        telemetry.MessageDropped.unsubscribe(count)
