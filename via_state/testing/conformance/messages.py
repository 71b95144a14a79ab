"""Messages, of adapters that carry them: at most once, to all who hear."""

from __future__ import annotations

import asyncio
import time

import pytest

from via_state.backplanes.base import Backplane
from via_state.exceptions import MessageTooLarge
from via_state.testing.conformance.harness import Harness, eventually

PROBE = b"probe"


async def hears(plane: Backplane, heard: list[bytes], publisher: Backplane, topic: str = "topic") -> None:
    """Publish until it is heard: a hearing may take a moment to hold. What else came by then is forgotten."""
    deadline = time.monotonic() + 10
    while PROBE not in heard:
        assert time.monotonic() < deadline, "no message was heard"
        await publisher.publish(topic, PROBE)
        await asyncio.sleep(0.01)
    await publisher.publish(topic, b"last probe")
    await eventually(lambda: b"last probe" in heard, "the last probe")
    heard.clear()


class MessagesConformance(Harness):
    async def test_an_adapter_without_messages_says_so(self) -> None:
        async with self.one() as plane:
            if not plane.max_message_bytes:
                with pytest.raises(NotImplementedError):
                    await plane.publish("topic", b"x")
                with pytest.raises(NotImplementedError):
                    plane.hear("topic", lambda data: None)

    async def test_a_message_reaches_all_who_hear_once_and_in_order(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return
            here: list[bytes] = []
            there: list[bytes] = []
            first.hear("topic", here.append)
            second.hear("topic", there.append)
            await hears(first, here, first)
            await hears(second, there, first)
            await first.publish("topic", b"start")
            await eventually(lambda: b"start" in here and b"start" in there, "the start")
            here.clear()
            there.clear()
            sent = [str(number).encode() for number in range(200)]
            for data in sent[:50]:
                await first.publish("topic", data)
            # Called one after the other, without waiting for each.
            await asyncio.gather(*(first.publish("topic", data) for data in sent[50:]))
            await eventually(lambda: len(here) >= 200 and len(there) >= 200, "two hundred messages")
            assert here == there == sent

    async def test_several_messages_are_published_at_once_in_their_order_and_each_has_its_own_answer(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return
            heard: dict[str, list[bytes]] = {"topic": [], "other": []}
            for topic, messages in heard.items():
                second.hear(topic, messages.append)
                await hears(second, messages, first, topic)
            first.max_message_bytes = min(first.max_message_bytes, 100_000)
            sent = [("other" if number % 3 else "topic", b"%d" % number) for number in range(100)]
            sent[10], sent[20] = ("no topic", b"x"), ("topic", b"x" * 100_001)
            errors = await first.publish_many(sent)
            refused = {10: ValueError, 20: MessageTooLarge}
            assert {at: type(error) for at, error in enumerate(errors) if error is not None} == refused
            expected = {
                topic: [data for at, (to, data) in enumerate(sent) if to == topic and at not in refused]
                for topic in heard
            }
            await eventually(lambda: heard == expected, "all that were sent, in order")
            assert await first.publish_many([]) == []

    async def test_what_is_published_once_a_hearing_holds_is_heard(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return
            for number in range(5):
                heard: list[bytes] = []
                hearing = second.hear(f"topic{number}", heard.append)
                async with asyncio.timeout(10):
                    await hearing.holds()
                await first.publish(f"topic{number}", b"x")
                await eventually(lambda heard=heard: heard == [b"x"], "the message")  # type: ignore[misc]
                await hearing.close()
                await hearing.holds()  # nobody waits for what is closed

    async def test_a_message_comes_as_it_was(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return
            heard: list[bytes] = []
            second.hear("topic", heard.append)
            await hears(second, heard, first)
            largest = min(first.max_message_bytes, 1024 * 1024)
            sent = [b"", bytes(range(256)), b"\0" * 7999, bytes(range(256)) * 30 + b"odd", b"x" * largest]
            for data in sent:
                await first.publish("topic", data)
            await eventually(lambda: len(heard) >= len(sent), "all messages")
            assert heard == sent

    async def test_large_messages_of_several_publishers_are_not_mixed(self) -> None:
        async with self.two() as planes:
            if not planes[0].max_message_bytes:
                return
            heard: list[bytes] = []
            planes[0].hear("topic", heard.append)
            for plane in planes:
                await hears(planes[0], heard, plane)
            sent = [b"%d" % number * 20_000 for number in range(30)]
            await asyncio.gather(*(planes[number % 2].publish("topic", data) for number, data in enumerate(sent)))
            await eventually(lambda: len(heard) >= len(sent), "all messages")
            assert sorted(heard) == sorted(sent)

    async def test_a_topic_is_heard_by_those_who_asked_for_it(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return
            heard: dict[str, list[bytes]] = {"a": [], "A": [], "a-b_9": []}
            for topic, messages in heard.items():
                second.hear(topic, messages.append)
                await hears(second, messages, first, topic)
            for topic in (*heard, "unheard"):
                await first.publish(topic, topic.encode())
            await eventually(lambda: all(heard.values()), "each topic")
            assert heard == {topic: [topic.encode()] for topic in heard}

    async def test_whoever_closed_a_hearing_hears_no_more(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return
            stays: list[bytes] = []
            leaves: list[bytes] = []
            second.hear("topic", stays.append)
            leaving = second.hear("topic", leaves.append)
            await hears(second, stays, first)
            leaves.clear()
            await leaving.close()
            await leaving.close()
            await first.publish("topic", b"x")
            await eventually(lambda: stays == [b"x"], "the message")
            assert leaves == []

    async def test_a_hearer_that_fails_costs_the_others_nothing(self) -> None:
        async with self.two() as (first, second):
            if not first.max_message_bytes:
                return

            def fail(data: bytes) -> None:
                raise LookupError("a hearer's own")

            heard: list[bytes] = []
            second.hear("topic", fail)
            second.hear("topic", heard.append)
            await hears(second, heard, first)
            await first.publish("topic", b"x")
            await eventually(lambda: heard == [b"x"], "the message")

    async def test_what_can_not_be_a_message_is_refused_before_it_is_sent(self) -> None:
        async with self.one() as plane:
            if not plane.max_message_bytes:
                return
            await plane.publish("topic", b"x")  # a server may say how much it takes
            for topic in ("", "a.b", "a b", "*", ">", "ü", "x" * 65, "topic\n"):
                with pytest.raises(ValueError, match="topic"):
                    await plane.publish(topic, b"x")
                with pytest.raises(ValueError, match="topic"):
                    plane.hear(topic, lambda data: None)
            plane.max_message_bytes = 10
            with pytest.raises(MessageTooLarge):
                await plane.publish("topic", b"x" * 11)
            await plane.publish("topic", b"x" * 10)
