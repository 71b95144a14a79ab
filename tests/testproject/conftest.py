"""Each test of the test project starts with empty state in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from via_state.pod.pod import Pod
from via_state.testing import memory_pod


@pytest.fixture(autouse=True)
def pod() -> Iterator[Pod]:
    with memory_pod() as pod:
        yield pod
