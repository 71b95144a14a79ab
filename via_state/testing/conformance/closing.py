"""After close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from via_state.core.records import GENESIS
from via_state.exceptions import Closed
from via_state.testing.conformance.harness import Harness, append, new_id


class ClosingConformance(Harness):
    async def test_a_closed_backplane_refuses_everything(self) -> None:
        plane = self.make()
        await append(plane, "log", b"x")
        await plane.close()
        await plane.close()
        calls: list[Callable[[], object]] = [
            lambda: plane.load("cell"),
            lambda: plane.load_many(["cell"]),
            lambda: plane.cas("cell", None, b"x"),
            lambda: plane.cells(),
            lambda: plane.prune(),
            lambda: plane.append("log", new_id(), 1, b"x"),
            lambda: plane.read("log", GENESIS),
            lambda: plane.head("log"),
            lambda: plane.changed(None),
            lambda: plane.logs(),
            lambda: plane.drop("log"),
            lambda: plane.compact("log", 1),
        ]
        for call in calls:
            with pytest.raises(Closed):
                await asyncio.wait_for(call(), 5)  # type: ignore[arg-type]
        with pytest.raises(Closed):
            plane.watch(lambda key: None)
        if plane.max_message_bytes:
            with pytest.raises(Closed):
                await asyncio.wait_for(plane.publish("topic", b"x"), 5)
            with pytest.raises(Closed):
                await asyncio.wait_for(plane.publish_many([("topic", b"x")]), 5)
            with pytest.raises(Closed):
                plane.hear("topic", lambda data: None)
