"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 60.0, pause: float = 0.02) -> None:
    """Return when ``condition()`` is true; raise TimeoutError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout:g} s")
        time.sleep(pause)


def wait_while_it_moves(
    state: Callable[[], object], done: Callable[[], bool], what: str, still: float = 60.0
) -> None:
    """Return when ``done()``; raise TimeoutError when ``state()`` has been the same for ``still`` seconds before that.

    For work that takes as long as the machine is slow.
    """
    seen, deadline = state(), time.monotonic() + still
    while not done():
        if (now := state()) != seen:
            seen, deadline = now, time.monotonic() + still
        elif time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen, and nothing moved for {still:g} s")
        time.sleep(0.2)
