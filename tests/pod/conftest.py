"""Pods over a backplane that can fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import FaultyBackplane
from tests.pod import board
from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.pod import Pod
from via_state.testing import pods


@pytest.fixture
def backplane() -> FaultyBackplane:
    return FaultyBackplane(MemoryBackplane({}))


@pytest.fixture
def cluster(backplane: FaultyBackplane) -> Iterator[list[Pod]]:
    """Two pods over one faulty backplane."""
    board.healed.clear()
    with pods(2, backplane) as made:
        yield made


@pytest.fixture
def pod(cluster: list[Pod]) -> Pod:
    return cluster[0]


@pytest.fixture
def peer(cluster: list[Pod]) -> Pod:
    return cluster[1]
