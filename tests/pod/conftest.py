"""Pods over a backplane that can fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import FaultyBackplane
from tests.pod import board
from tests.pod.world import World, world_of
from via_state.backplanes.memory import MemoryBackplane
from via_state.bookkeeping import snapshots as snapshots_port
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


@pytest.fixture(params=["memory", "postgres", "nats"])
def eager_world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """On each backplane. A lease ends at once, so that every pod may make snapshots."""
    monkeypatch.setattr(snapshots_port, "LEASE", 0.0)
    if request.param != "memory":
        request.getfixturevalue("postgres")
    if request.param == "nats":
        request.getfixturevalue("nats")
        request.getfixturevalue("transactional_db")
    with world_of(request.param) as made:
        yield made
