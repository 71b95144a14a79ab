"""Sweeps and doorbells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from via_state.core.records import Revision
from via_state.testing.conformance.harness import Harness, append


class ChangesConformance(Harness):
    async def test_changes_name_everything_that_moved(self) -> None:
        async with self.two() as (writer, reader):
            await append(writer, "old", b"x")
            cursor = (await reader.changed(None)).cursor
            (position,) = await append(writer, "log", b"x")
            revision = await writer.cas("cell", None, b"x")
            changes = await reader.changed(cursor)
            assert not changes.everything
            assert changes.logs["log"].position == position
            assert changes.cells["cell"] == revision
            newer = await writer.cas("cell", revision, b"x")
            await writer.drop("log")
            later = await reader.changed(changes.cursor)
            assert later.cells["cell"] == newer
            assert later.logs["log"].position.offset == 0

    async def test_changes_never_omit_under_concurrent_writes(self) -> None:
        async with self.two() as (writer, reader):
            seen: dict[str, int] = {}
            revisions: dict[str, Revision | None] = {}
            cursor = (await reader.changed(None)).cursor
            done = asyncio.Event()

            async def write(name: int) -> None:
                revision: Revision | None = None
                for number in range(25):
                    await append(writer, f"log{(name + number) % 7}", b"x")
                    revision = await writer.cas(f"cell{name}", revision, b"x")

            async def look() -> None:
                nonlocal cursor
                while True:
                    last_look = done.is_set()
                    changes = await reader.changed(cursor)
                    cursor = changes.cursor
                    for key, head in changes.logs.items():
                        seen[key] = max(seen.get(key, 0), head.position.offset)
                    revisions.update(changes.cells)
                    if last_look:
                        return
                    await asyncio.sleep(0)

            looking = asyncio.create_task(look())
            await asyncio.gather(*(write(name) for name in range(6)))
            done.set()
            await looking
            assert seen == {f"log{n}": (await reader.head(f"log{n}")).position.offset for n in range(7)}
            cells = await reader.load_many([f"cell{n}" for n in range(6)])
            assert revisions == {key: cell.revision for key, cell in cells.items()}

    async def test_a_cursor_that_proves_nothing_asks_to_look_at_everything(self) -> None:
        async with self.one() as plane:
            changes = await plane.changed(object())
            assert changes.everything
            assert not (await plane.changed(changes.cursor)).everything

    async def test_a_doorbell_rings_for_watched_keys(self) -> None:
        async with self.two() as (writer, reader):
            rung: list[str | None] = []
            watch = reader.watch(rung.append)
            for key in ("log", "cell", "unwatched"):
                watch.add(key)
            watch.discard("unwatched")
            watch.discard("never added")

            async def ring_until_heard(key: str, ring: Callable[[], object]) -> None:
                # The subscription may take a moment to hold, and a doorbell may be lost: it is rung again.
                deadline = time.monotonic() + 10
                while key not in rung:
                    assert time.monotonic() < deadline, f"{key} never rang"
                    await ring()  # type: ignore[misc]
                    await asyncio.sleep(0.01)

            await ring_until_heard("log", lambda: append(writer, "log", b"x"))
            revision: Revision | None = None

            async def write_cell() -> None:
                nonlocal revision
                revision = await writer.cas("cell", revision, b"x")

            await ring_until_heard("cell", write_cell)
            await append(writer, "unwatched", b"x")
            rung.clear()
            await ring_until_heard("log", lambda: append(writer, "log", b"x"))
            assert "unwatched" not in rung
            await watch.close()
            await watch.close()
