"""What the tests of the loop thread share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from via_state.pod import default
from via_state.runtime import loop as loop_module
from via_state.runtime.loop import LoopThread


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopThread]:
    """A loop thread that a test may break."""
    made = LoopThread()
    monkeypatch.setattr(loop_module, "_current", made)
    monkeypatch.setattr(default, "_current", None)  # a pod that is made meanwhile goes with it
    yield made
    made.stop()
    made.thread.join(20.0)
