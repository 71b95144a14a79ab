"""What the tests of channels-redis 4.3 say of its layers, of ours: each of their names, and which test of ours says it.

=================================================  ==============================================================
channels-redis                                     here, or in ``test_layer``
=================================================  ==============================================================
send_receive                                       a_message_is_received_from_a_channel_that_any_process_may_read
process_local_send_receive, multi_send_receive     a_message_is_received_from_a_channel_of_this_process
send_receive_sync, multi_send_receive_sync         sync_code_sends_and_receives_in_order
double_receive                                     channels_are_read_on_several_event_loops
multi_event_loop_garbage_collection                loops_that_ended_leave_nothing
send_capacity, send_specific_capacity              a_full_channel_is_said_to_whoever_sends
reject_bad_channel                                 a_name_that_is_none_is_refused
reject_bad_client_prefix                           a_channel_of_nobody_is_not_received_from
groups_basic                                       a_group_message_reaches_the_members_of_all_processes_once
groups_same_prefix                                 members_with_one_prefix_all_get_a_message
groups_channel_full                                a_full_channel_of_anybody_does_not_fail_its_group
groups_multiple_hosts, …_performance               a_hundred_members_cost_one_message
group_send_capacity, …_multiple_channels           members_over_capacity_miss_a_group_message_and_the_others_do_not
repeated_group_send_with_async_to_sync             sync_code_sends_to_groups_again_and_again
receive_cancel                                     a_receive_that_is_cancelled_takes_nothing
receive_hang                                       a_receive_ends_when_its_patience_does
random_reset__channel_name, …__client_prefix       names_do_not_depend_on_the_random_seed
message_expiry__earliest_message_expires           what_waited_too_long_is_gone_and_what_came_later_is_not
message_expiry__all_messages_under_…               what_waited_too_long_is_gone_and_what_came_later_is_not
message_expiry__group_send                         what_a_group_said_expires_in_each_channel
message_expiry__group_send__one_channel_…          what_a_group_said_expires_in_each_channel
receive_on_non_owned_general_channel               a_reader_that_was_first_gets_what_another_process_sends
proxied_methods_coroutine_check                    the_verbs_are_coroutines
auto_reconnect                                     groups_hold_after_every_cut
discard_before_add                                 whoever_was_never_in_a_group_may_leave_it
layer_close                                        a_layer_follows_the_pod_of_its_process
=================================================  ==============================================================

What does not apply, and why:

* default_group_key_format, custom_group_key_format: there are no keys in Redis. The names of our topics are hashes (``parcels``).
* receive_buffer_respects_capacity: no buffer between the server and the reader; a mailbox refuses what is over its capacity.
* loop_instance_channel_layer_reference: there is no layer per event loop.
* serialize, deserialize, and the tests of serializers: the form is ours, closed, and has no registry; messages are sealed, not encrypted.
* the tests over sentinels, and of the consistent hash of several hosts: whose servers are several is the backplane's matter.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from testproject.servers.proxy import Proxy
from tests.layers.conftest import Clock, Layer, Make
from tests.layers.messages import nothing, numbers, of, soon
from tests.pod.world import EVERY
from via_state.exceptions import BackplaneUnavailable, OutcomeUnknown
from via_state.testing.conformance.harness import eventually

OVER_SERVERS = pytest.mark.parametrize("make", EVERY[1:], indirect=True)
IN_MEMORY = pytest.mark.parametrize("make", EVERY[:1], indirect=True)


# From sync code ---------------------------------------------------------------------------------------------


@OVER_SERVERS
def test_sync_code_sends_and_receives_in_order(two: tuple[Layer, Layer]) -> None:
    here, there = two
    channel = async_to_sync(there.new_channel)()
    for number in range(3):
        async_to_sync(here.send)(channel, of(number))
    assert [async_to_sync(numbers)(there, channel, 1) for _ in range(3)] == [[0], [1], [2]]


@OVER_SERVERS
def test_sync_code_sends_to_groups_again_and_again(two: tuple[Layer, Layer]) -> None:
    here, there = two
    channel = async_to_sync(there.new_channel)()
    async_to_sync(there.group_add)("one", channel)
    for number in range(3):
        async_to_sync(here.group_send)("one", of(number))
        async_to_sync(here.group_send)("nobody", of(number))
    assert async_to_sync(numbers)(there, channel, 3) == [0, 1, 2]


@OVER_SERVERS
def test_loops_that_ended_leave_nothing(one: Layer) -> None:
    for number in range(5):
        channel = async_to_sync(one.new_channel)()
        async_to_sync(one.group_add)("group", channel)
        async_to_sync(one.group_send)("group", of(number))
        assert async_to_sync(numbers)(one, channel, 1) == [number]
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(one.receive(channel), 0.01))
        async_to_sync(one.group_discard)("group", channel)
    boxes = one._mailboxes
    assert (boxes._messages, boxes._readers, boxes._handed) == ({}, {}, {})


# Channels ---------------------------------------------------------------------------------------------------


@IN_MEMORY
async def test_a_channel_of_nobody_is_not_received_from(one: Layer) -> None:
    with pytest.raises(AssertionError):
        await one.receive("not-a-process!rest")


@IN_MEMORY
async def test_the_verbs_are_coroutines(one: Layer) -> None:
    for verb in ("send", "receive", "new_channel", "group_add", "group_discard", "group_send", "flush"):
        assert inspect.iscoroutinefunction(getattr(one, verb))


@OVER_SERVERS
async def test_a_receive_ends_when_its_patience_does(one: Layer) -> None:
    for channel in (await one.new_channel(), "worker"):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.receive(channel), 0.05)
        await nothing(one, channel)


@OVER_SERVERS
async def test_a_reader_that_was_first_gets_what_another_process_sends(two: tuple[Layer, Layer]) -> None:
    here, there = two
    await here.new_channel()
    receiving = asyncio.ensure_future(soon(there.receive("worker")))
    await eventually(lambda: bool(here._wanted.get("worker")), "the reader's question")
    await here.send("worker", of(1))
    assert await receiving == of(1)


@IN_MEMORY
@pytest.mark.parametrize("any_process", [False, True])
async def test_what_waited_too_long_is_gone_and_what_came_later_is_not(
    make: Make, clock: Clock, any_process: bool
) -> None:
    layer = make(expiry=3)
    channel = "worker" if any_process else await layer.new_channel()
    for number in range(3):
        await layer.send(channel, of(number))
        clock.now += 1
    clock.now -= 0.5
    assert await numbers(layer, channel, 3) == [0, 1, 2]  # all of them are younger
    for number in range(3):
        await layer.send(channel, of(number))
        clock.now += 2
    clock.now -= 2
    assert await numbers(layer, channel, 2) == [1, 2]
    await nothing(layer, channel)


# Groups -----------------------------------------------------------------------------------------------------


@OVER_SERVERS
async def test_what_a_group_said_expires_in_each_channel(make: Make, clock: Clock) -> None:
    here, there = make(expiry=3, capacity=10), make(expiry=3, capacity=10)
    first, second = await there.new_channel(), await there.new_channel("second")
    await there.group_add("group", first)
    await there.group_add("group", second)
    await there.send(first, of(-1))
    clock.now += 2
    for number in range(3):
        await here.group_send("group", of(number))
        await eventually(
            lambda number=number: len(there._mailboxes._messages.get(second, ())) == number + 1,  # type: ignore[misc]
            "the message",
        )
        clock.now += 1
    clock.now -= 0.5
    assert await numbers(there, first, 3) == [0, 1, 2]  # and not what waited before
    clock.now += 1
    assert await numbers(there, second, 2) == [1, 2]
    await nothing(there, first)
    await nothing(there, second)


@OVER_SERVERS
async def test_members_with_one_prefix_all_get_a_message(two: tuple[Layer, Layer]) -> None:
    here, there = two
    channels = [await there.new_channel(prefix="test-gr-chan") for _ in range(3)]
    for channel in channels:
        assert channel.startswith("test-gr-chan")
        await there.group_add("group", channel)
    await here.group_send("group", of(1))
    assert [await numbers(there, channel, 1) for channel in channels] == [[1]] * 3


@OVER_SERVERS
async def test_a_full_channel_of_anybody_does_not_fail_its_group(one: Layer) -> None:
    await one.group_add("group", "worker")
    for number in range(5):
        await one.group_send("group", of(number))
    await eventually(lambda: len(one._mailboxes._messages.get("worker", ())) == 3, "as many as there is room for")
    assert sorted(await numbers(one, "worker", 3)) == [0, 1, 2]


@OVER_SERVERS
async def test_a_hundred_members_cost_one_message(
    two: tuple[Layer, Layer], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = two
    channels = [await there.new_channel(prefix=f"channel{number}") for number in range(100)]
    for channel in channels:
        await there.group_add("group", channel)
    receiving = [asyncio.ensure_future(soon(there.receive(channel))) for channel in channels]
    await eventually(lambda: len(there._mailboxes._readers) == 100, "a hundred readers")
    calls, loop = list[Any](), asyncio.get_running_loop()
    call = loop.call_soon_threadsafe

    def counted(callback: Any, *args: Any, **more: Any) -> Any:
        calls.append(callback)
        return call(callback, *args, **more)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    await here.group_send("group", of(1))
    assert [message["number"] for message in await asyncio.gather(*receiving)] == [1] * 100
    assert len([one for one in calls if one == there._mailboxes._give]) < 50, "gathered for their loop"


@IN_MEMORY
async def test_whoever_was_never_in_a_group_may_leave_it(one: Layer) -> None:
    await one.group_discard("group", await one.new_channel(prefix="test-channel"))
    await one.group_discard("group", "worker")


async def test_groups_hold_after_every_cut(cut_off: tuple[Proxy, Make]) -> None:
    """A group that was joined before, one that was left, and one that is joined while there is no server."""
    proxy, make = cut_off
    here, there = make(), make()
    stays, leaves, comes = [await there.new_channel() for _ in range(3)]
    await there.group_add("group", stays)
    await there.group_add("group", leaves)
    await there.group_discard("group", leaves)
    for number, harm in enumerate((proxy.sever, proxy.cut, proxy.sever)):
        await asyncio.to_thread(harm)
        if harm == proxy.cut:
            joining = asyncio.ensure_future(there.group_add("group", comes))
            await asyncio.to_thread(proxy.restore)
            await joining
        receiving = asyncio.ensure_future(there.receive(stays))
        async with asyncio.timeout(30):
            while (
                not receiving.done()
            ):  # at most once: what is said while the connection is made is lost, or refused
                try:
                    await here.group_send("group", of(number))
                except (BackplaneUnavailable, OutcomeUnknown):
                    await asyncio.sleep(0.01)
                await asyncio.wait({receiving}, timeout=0.02)
        assert (await receiving)["number"] <= number
    await soon(there.receive(comes))
    await nothing(there, leaves)
