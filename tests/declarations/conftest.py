"""Each test declares state of its own, and starts with empty state in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from via_state.declarations.registry import registry
from via_state.live.rendering.fragments import fragments
from via_state.pod.pod import Pod
from via_state.testing import memory_pod


@pytest.fixture(autouse=True)
def only_declared_here() -> Iterator[None]:
    with registry.isolated(), fragments.isolated():
        yield


@pytest.fixture(autouse=True)
def pod() -> Iterator[Pod]:
    with memory_pod() as pod:
        yield pod
