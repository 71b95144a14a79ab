"""A handler whose log lost rows, or brings nothing."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest

from tests.handlers.observed import position, recorder
from tests.handlers.world import Shop, until
from tests.pod import backups
from via_state.operations.positions import find_position, resume
from via_state.runtime.backoff import Backoff


def test_a_handler_never_passes_over_rows_that_are_missing(durable_shop: Shop) -> None:
    """Also one that begins wherever the log begins, and one that had them."""
    shop = durable_shop
    got = recorder(shop)
    shop.place(1, 2, 3)
    rows = shop.world.run(backups.lose_rows(shop.world, "orders", 1, 2))
    worker = shop.work()
    until(lambda: position(shop).halted == "gap")
    assert "records up to offset 2 are missing" in position(shop).halted_text
    assert "Put them back from a backup" in position(shop).halted_text
    shop.stop(worker)
    assert got == []
    shop.world.run(backups.put_rows_back(shop.world, "orders", rows))
    resume(position(shop), *shop.world.run(find_position(shop.world.plane, "orders", "first")))
    shop.work()
    until(lambda: got == [1, 2, 3])
    shop.world.run(backups.lose_rows(shop.world, "orders", 3, 3))
    shop.place(4)
    until(lambda: position(shop).halted == "gap")
    assert got == [1, 2, 3]


def test_a_handler_whose_reads_bring_nothing_asks_at_a_pause_and_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    got = recorder(shop)
    shop.place(1)
    read, after_pause = shop.world.inner.read, Backoff.next
    happened: list[str] = []

    async def nothing(*args: Any) -> Any:
        happened.append("read")
        return (await read(*args))._replace(packs=[])

    def pause(self: Backoff) -> float:
        happened.append("pause")
        return after_pause(self)

    monkeypatch.setattr(shop.world.inner, "read", nothing)
    monkeypatch.setattr(Backoff, "next", pause)
    with caplog.at_level(logging.WARNING, logger="via_state"):
        worker = shop.work()
        until(lambda: happened.count("read") > 5)
    assert ("read", "read") not in itertools.pairwise(happened)
    assert sum("ship waits" in line and "brings none after 0" in line for line in caplog.messages) == 1
    monkeypatch.setattr(shop.world.inner, "read", read)
    until(lambda: got == [1])
    shop.stop(worker)
