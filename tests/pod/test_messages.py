"""Messages between pods: what a stranger says is not heard."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from django.test import override_settings

from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.messages import Messages
from via_state.pod.sealing import MAX_AGE, OVERHEAD


@pytest_asyncio.fixture
async def plane() -> AsyncIterator[MemoryBackplane]:
    plane = MemoryBackplane()
    yield plane
    await plane.close()


async def heard_of(plane: MemoryBackplane, topic: str) -> tuple[Messages, list[bytes], list[bytes]]:
    """A pod that hears, what it hears, and what the backplane carries."""
    pod, heard, carried = Messages(plane), list[bytes](), list[bytes]()
    pod.hear(topic, heard.append)
    plane.hear(topic, carried.append)
    return pod, heard, carried


async def delivered() -> None:
    """What was published on this loop is heard."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_pods_hear_each_other_and_themselves(plane: MemoryBackplane) -> None:
    pod, heard, carried = await heard_of(plane, "topic")
    await Messages(plane).publish("topic", b"theirs")
    await pod.publish("topic", b"ours")
    await pod.publish("other", b"not for us")
    await delivered()
    assert heard == [b"theirs", b"ours"]
    assert {len(one) for one in carried} == {OVERHEAD + 6, OVERHEAD + 4}
    assert pod.dropped == 0


async def test_any_changed_byte_any_other_topic_and_a_replay_are_refused(plane: MemoryBackplane) -> None:
    pod, heard, carried = await heard_of(plane, "topic")
    other = list[bytes]()
    pod.hear("other", other.append)
    await Messages(plane).publish("topic", b"data")
    await delivered()
    (sealed,) = carried
    for index in range(len(sealed)):
        for bit in (1, 128):
            forged = bytearray(sealed)
            forged[index] ^= bit
            await plane.publish("topic", bytes(forged))
    for garbage in (b"", b"x", b"x" * 15, b"x" * OVERHEAD, b"x" * 1000, sealed[:-1], sealed + b"x"):
        await plane.publish("topic", garbage)
    await plane.publish("other", sealed)  # of another topic
    await plane.publish("topic", sealed)  # again
    await delivered()
    assert heard == [b"data"]
    assert other == []
    assert pod.dropped == 2 * len(sealed) + 9


async def test_a_message_of_a_minute_ago_is_refused_and_the_log_says_so_once(
    plane: MemoryBackplane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pod, heard, _ = await heard_of(plane, "topic")
    caplog.set_level(logging.WARNING)
    now = time.time()
    for age in (MAX_AGE + 1, -MAX_AGE - 1, float("nan"), MAX_AGE - 1, 1 - MAX_AGE):
        with monkeypatch.context() as patch:
            patch.setattr("via_state.pod.sealing.time.time", lambda age=age: now - age)
            await Messages(plane).publish("topic", str(age).encode())
        await delivered()
    assert heard == [b"59.0", b"-59.0"]
    assert pod.dropped == 3
    assert len(caplog.records) == 1
    assert "clocks" in caplog.text


async def test_the_key_before_is_accepted_during_a_rotation(plane: MemoryBackplane) -> None:
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        pod, heard, _ = await heard_of(plane, "topic")
        with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
            await Messages(plane).publish("topic", b"old")
        await delivered()
        with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
            await Messages(plane).publish("topic", b"another project's")
        await delivered()
        assert heard == [b"old"]
        assert pod.dropped == 1
