"""The pytest plugin. Nothing is automatic until a test asks for a fixture, but that state stays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from via_state.pod.pod import Pod

#: Whether pytest is at work here; the process's default pod asks.
running = False


def pytest_configure() -> None:
    global running
    running = True


def pytest_unconfigure() -> None:
    global running
    running = False


@pytest.fixture
def state_pod() -> Iterator[Pod]:
    """Fresh, empty state in memory for this test; gives the pod that all declarations use."""
    from via_state.testing.isolation import memory_pod

    with memory_pod() as pod:
        yield pod


@pytest.fixture
def settings_pod() -> Iterator[Pod]:
    """For this test, the backplane that ``VIA_STATE`` names, with what is there; gives the pod that all declarations use."""
    from via_state.testing import isolation

    with isolation.settings_pod() as pod:
        yield pod


@pytest.fixture
def drain_state(state_pod: Pod) -> Callable[[], None]:
    """A function that waits until everything appended so far is folded."""
    from via_state.testing.isolation import drain

    return lambda: drain(state_pod)
