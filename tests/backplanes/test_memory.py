"""The memory backplane keeps the contract."""

from __future__ import annotations

import pytest

from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.testing.conformance import BackplaneConformance


class TestMemoryBackplane(BackplaneConformance):
    def make(self) -> Backplane:
        return MemoryBackplane({})


def test_an_unknown_option_is_an_error() -> None:
    (message,) = MemoryBackplane.check({"POOL": 3, "PREFIX": "via"})
    assert message.id == "via_state.E020"
    assert "'POOL'" in message.msg


async def test_append_ids_are_forgotten_after_the_retry_window(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = MemoryBackplane({})
    monkeypatch.setattr(MemoryBackplane, "retry_window", -1.0)
    for number in range(100):
        await plane.append("log", f"{number:032x}", 1, b"x")
    assert len(plane._logs["log"].appends) <= 1
