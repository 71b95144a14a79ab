"""What Channels promises of a layer, over each backplane, in one process and between two."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull

from tests.layers.conftest import Clock, Layer, Make
from tests.layers.messages import Message, nothing, of, soon
from tests.pod.world import EVERY
from via_state.exceptions import MessageTooLarge
from via_state.testing.conformance.harness import eventually

# One channel --------------------------------------------------------------------------------------------------


async def test_a_message_is_received_from_a_channel_that_any_process_may_read(one: Layer) -> None:
    for number in range(3):
        await one.send("worker", of(number))
    assert [await soon(one.receive("worker")) for _ in range(3)] == [of(0), of(1), of(2)]


async def test_a_message_is_received_from_a_channel_of_this_process(one: Layer) -> None:
    channel = await one.new_channel("prefix")
    assert channel.startswith("prefix.")
    assert len(channel) < 100
    for number in range(3):
        await one.send(channel, of(number))
    assert [await soon(one.receive(channel)) for _ in range(3)] == [of(0), of(1), of(2)]


async def test_a_message_reaches_a_channel_of_another_process(two: tuple[Layer, Layer]) -> None:
    here, there = two
    channel = await there.new_channel()
    receiving = asyncio.ensure_future(there.receive(channel))
    for number in range(3):
        await here.send(channel, of(number))
    assert await soon(asyncio.wait_for(receiving, 10)) == of(0)
    assert [await soon(there.receive(channel)) for _ in range(2)] == [of(1), of(2)]
    with pytest.raises(AssertionError, match="another process"):
        await here.receive(channel)


async def test_messages_are_data_of_their_reader(one: Layer) -> None:
    channel = await one.new_channel()
    message = {"type": "x", "bytes": b"\0\xff", "text": "ü", "list": [1, 2.5, None, True], "dict": {"1": {}}}
    await one.send(channel, message)
    received = await soon(one.receive(channel))
    assert received == message
    received["list"].append("mine")
    assert message["list"] == [1, 2.5, None, True]
    for wrong in ("text", b"bytes", None, ["list"]):
        with pytest.raises(TypeError):
            await one.send(channel, wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await one.send(channel, {"type": "x", "object": object()})


@pytest.mark.parametrize("make", EVERY[:1], indirect=True)
@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 100, "=+135!", None, 5])
async def test_a_name_that_is_none_is_refused(one: Layer, name: Any) -> None:
    channel = await one.new_channel()
    for verb in (
        lambda: one.send(name, {"type": "x"}),
        lambda: one.receive(name),
        lambda: one.group_add(name, channel),
        lambda: one.group_add("group", name),
        lambda: one.group_discard(name, channel),
        lambda: one.group_send(name, {"type": "x"}),
    ):
        with pytest.raises(TypeError):
            await verb()


async def test_a_full_channel_is_said_to_whoever_sends(make: Make) -> None:
    layer = make(capacity=3, channel_capacity={"tiny*": 1})
    channel = await layer.new_channel()
    for name, capacity in ((channel, 3), ("worker", 3), ("tiny.worker", 1)):
        for number in range(capacity):
            await layer.send(name, of(number))
        with pytest.raises(ChannelFull):
            await layer.send(name, of(capacity))
        assert [(await soon(layer.receive(name)))["number"] for _ in range(capacity)] == [*range(capacity)]


async def test_a_message_that_nobody_takes_expires(make: Make, clock: Clock) -> None:
    layer = make(expiry=60)
    channel = await layer.new_channel()
    for name in (channel, "worker"):
        await layer.send(name, of(1))
        clock.now += 60
        await nothing(layer, name)


async def test_a_receive_that_is_cancelled_takes_nothing(one: Layer) -> None:
    channel = await one.new_channel()
    for number in range(200):
        receiving = asyncio.ensure_future(one.receive(channel))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        await one.send(channel, of(number))
        for _ in range(number % 3):
            await asyncio.sleep(0)
        receiving.cancel()
        try:
            assert (await receiving)["number"] == number
        except asyncio.CancelledError:
            assert (await soon(one.receive(channel)))["number"] == number


def test_channels_are_read_on_several_event_loops(one: Layer) -> None:
    """As sync views do: each call of `async_to_sync` has a loop of its own."""
    first, second = async_to_sync(one.new_channel)(), async_to_sync(one.new_channel)()
    async_to_sync(one.send)(first, of(1))
    async_to_sync(one.send)(second, of(2))
    received: list[Message] = []
    threads = [
        threading.Thread(target=lambda name=name: received.append(async_to_sync(one.receive)(name)))
        for name in (second, first, "worker")
    ]
    for thread in threads:
        thread.start()
    async_to_sync(one.send)("worker", of(3))
    for thread in threads:
        thread.join(60)
    assert sorted(message["number"] for message in received) == [1, 2, 3]


async def test_names_do_not_depend_on_the_random_seed(make: Make) -> None:
    names = []
    for _ in range(2):
        random.seed(1)
        layer = make()
        names += [await layer.new_channel(), await layer.new_channel()]
        random.seed(1)
        names.append(await layer.new_channel())
    assert len(set(names)) == 6


# Groups ---------------------------------------------------------------------------------------------------------


async def test_a_group_message_reaches_the_members_of_all_processes_once(two: tuple[Layer, Layer]) -> None:
    here, there = two
    members = [(layer, await layer.new_channel()) for layer in (here, here, there)]
    (_, left), outside = (here, await here.new_channel()), await there.new_channel()
    for layer, channel in members:
        await layer.group_add("group", channel)
        await layer.group_add("group", channel)  # twice is once
    await here.group_add("group", left)
    await here.group_discard("group", left)
    await here.group_discard("group", left)
    await there.group_add("other", outside)
    for sender, number in ((here, 1), (there, 2)):
        await sender.group_send("group", of(number))
        for layer, channel in members:
            assert await soon(layer.receive(channel)) == of(number)
    await nothing(here, left)
    await nothing(there, outside)
    for layer, channel in members:
        await nothing(layer, channel)


async def test_members_over_capacity_miss_a_group_message_and_the_others_do_not(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="via_state.layers")
    layer = make(capacity=3)
    full, free = await layer.new_channel(), await layer.new_channel()
    await layer.group_add("group", full)
    await layer.group_add("group", free)
    await layer.send(full, of(0))
    for number in (1, 2, 3):
        await layer.group_send("group", of(number))
        if number < 3:
            assert await soon(layer.receive(free)) == of(number)
    assert await soon(layer.receive(free)) == of(3)
    assert [await soon(layer.receive(full)) for _ in range(3)] == [of(0), of(1), of(2)]
    await nothing(layer, full)
    await eventually(lambda: "1 of 2 channels over capacity in group group" in caplog.text, "the line")


async def test_a_channel_of_another_process_may_be_put_into_a_group_and_taken_out(
    two: tuple[Layer, Layer],
) -> None:
    here, there = two
    channel = await there.new_channel()
    await here.group_add("group", channel)
    number = 0
    receiving = asyncio.ensure_future(there.receive(channel))
    deadline = time.monotonic() + 10
    while not receiving.done():  # it may take a moment
        assert time.monotonic() < deadline
        number += 1
        await here.group_send("group", of(number))
        await asyncio.wait({receiving}, timeout=0.02)
    await here.group_discard("group", channel)
    while there._groups:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_channel_that_any_process_may_read_can_be_a_member(two: tuple[Layer, Layer]) -> None:
    here, there = two
    await here.group_add("group", "worker")
    await there.group_send("group", of(1))
    assert await soon(there.receive("worker")) == of(1)


async def test_a_member_that_is_not_added_again_leaves(make: Make, clock: Clock) -> None:
    layer = make(group_expiry=60)
    stays, leaves = await layer.new_channel(), await layer.new_channel()
    for channel in (stays, leaves):
        await layer.group_add("group", channel)
    clock.now += 40
    await layer.group_add("group", stays)
    clock.now += 40
    await layer.group_send("group", of(1))
    assert await soon(layer.receive(stays)) == of(1)
    assert set(layer._groups["group"]) == {stays}
    await nothing(layer, leaves)


async def test_a_group_without_members_costs_nothing(two: tuple[Layer, Layer]) -> None:
    here, there = two
    channel = await here.new_channel()
    for _ in range(3):
        await here.group_add("group", channel)
        await here.group_discard("group", channel)
    await there.group_send("group", of(1))
    await nothing(here, channel)
    assert here._groups == {}
    deadline = time.monotonic() + 10
    while len(here._hearings) > 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_flush_forgets_what_this_process_has(one: Layer) -> None:
    channel = await one.new_channel()
    await one.group_add("group", channel)
    await one.send(channel, of(1))
    await one.send("worker", of(1))
    await one.flush()
    await one.group_send("group", of(2))
    await nothing(one, channel)
    await nothing(one, "worker")


async def test_a_large_message_travels_and_one_that_is_too_large_is_refused(two: tuple[Layer, Layer]) -> None:
    here, there = two
    channel = await there.new_channel()
    await here.send(channel, {"type": "x", "text": "y" * 900_000})
    assert len((await soon(there.receive(channel)))["text"]) == 900_000
    with pytest.raises(MessageTooLarge):
        await here.send(channel, {"type": "x", "text": "y" * 70_000_000})
    await nothing(there, channel)


async def test_a_layer_follows_the_pod_of_its_process(make: Make) -> None:
    """Groups and channels stay, when the pod was closed and another one is there."""
    here, there = make(), make()
    channel = await here.new_channel()
    await here.group_add("group", channel)
    await here.of_test.aclose()
    here.of_test = make().of_test
    await here.new_channel()
    await there.group_send("group", of(1))
    assert await soon(here.receive(channel)) == of(1)
    await there.send(channel, of(2))
    assert await soon(here.receive(channel)) == of(2)


async def test_what_is_sent_at_once_takes_one_way_to_the_pod(
    two: tuple[Layer, Layer], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = two
    there.capacity = 1000
    channel = await there.new_channel()
    await there.group_add("group", channel)
    await here.group_send("group", of(-1))
    assert await soon(there.receive(channel)) == of(-1)
    loop, ways = here.of_test.thread.loop, list[object]()
    call = loop.call_soon_threadsafe

    def counted(callback: Any, *args: object, **more: Any) -> object:
        ways.append(callback)
        return call(callback, *args, **more)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    await asyncio.gather(*(here.group_send("group", of(number)) for number in range(200)))
    received = [(await soon(there.receive(channel)))["number"] for _ in range(200)]
    assert sorted(received) == list(range(200))
    assert len(ways) < 100


async def test_each_sender_is_told_of_its_own_failure(one: Layer) -> None:
    channel = await one.new_channel()
    await one.group_add("group", channel)
    big = {"type": "x", "data": b"x" * (one.of_test.backplane.max_message_bytes + 1)}
    results = await asyncio.gather(
        one.group_send("group", of(1)),
        one.group_send("group", big),
        one.group_send("group", of(2)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), MessageTooLarge, type(None)]
    assert [await soon(one.receive(channel)) for _ in range(2)] == [of(1), of(2)]
