"""The pytest plugin. Nothing is automatic until a test asks for a fixture, but that state stays in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from via_state.pod.pod import Pod

#: Whether pytest is at work here; the process's default pod asks.
running = False


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """What a conftest.py declares is a test's, too."""
    global running
    running = True


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
    """For this test, fresh, empty state on the backplane that ``VIA_STATE`` names; gives the pod that all declarations use."""
    from via_state.testing import isolation

    with isolation.settings_pod() as pod:
        yield pod


@pytest.fixture
def drain_state(state_pod: Pod) -> Callable[[], None]:
    """A function that runs all event handlers, until none has anything to do: see `via_state.testing.drain`."""
    from via_state.testing.draining import drain

    return lambda: drain(state_pod)
