"""Before a pod says that somebody shows too much, it has the store tell."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board
from tests.pod.test_revisions import deaf_peer
from via_state.pod.pod import Pod


async def test_after_a_look_a_pod_that_hears_of_nothing_has_what_the_store_has(
    pod: Pod, peer: Pod, backplane: FaultyBackplane
) -> None:
    numbers, hits = Board.numbers.using(peer), Board.hits.using(peer)
    assert (await numbers.aread(), await hits.aread()) == ([], 0)
    await deaf_peer(peer, backplane)
    await Board.numbers.using(pod).aappend(Add(1))
    await Board.hits.using(pod).aset(5)

    for handle in (numbers, hits):
        await peer.alook(handle.key, handle.definition.spec())

    assert (await numbers.aread(), await hits.aread()) == ([1], 5)


async def test_a_look_ends_where_nothing_is_newer(pod: Pod) -> None:
    for handle in (Board.numbers.using(pod), Board.hits.using(pod)):
        for _ in range(2):
            await pod.alook(handle.key, handle.definition.spec())


async def test_a_look_lasts_for_as_long_as_the_store_is_away(pod: Pod, backplane: FaultyBackplane) -> None:
    numbers = Board.numbers.using(pod)
    await numbers.aread()
    backplane.down = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await pod.alook(numbers.key, numbers.definition.spec())
    backplane.down = False
    await pod.alook(numbers.key, numbers.definition.spec())
