"""The tabs of a pod without sockets: an event loop of their own, and what each was told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from testproject.servers.waiting import wait_until
from via_state.live.announcing.audience import To
from via_state.live.visitors.tokens import Ticket
from via_state.pod.pod import Pod


class Tab:
    """What a hub knows of a tab, and what it was told."""

    def __init__(self, ticket: Ticket, nodes: Collection[str] = ()) -> None:
        self.ticket, self.nodes = ticket, nodes
        self.told: list[dict[str, Any]] = []

    @property
    def texts(self) -> list[Any]:
        """Of the notices."""
        return [one.get("text") for one in self.told]


class Hub:
    """Tabs of one event loop, which is a thread's."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.loop = asyncio.new_event_loop()
        self.tabs: list[Tab] = []
        #: The other calls, by name and argument.
        self.calls: list[tuple[str, object]] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def tab(self, *nodes: str, **ticket: Any) -> Tab:
        tab = Tab(Ticket(**ticket), nodes)
        self.tabs.append(tab)
        return tab

    def deliver(self, to: To, line: str) -> int:
        assert asyncio.get_running_loop() is self.loop
        matching = [one for one in self.tabs if to.matches(one)]
        for one in matching:
            one.told.append(msgspec.json.decode(line)["b"])
        return len(matching)

    def refresh(self, nodes: Collection[str]) -> None:
        self.calls.append(("refresh", tuple(nodes)))

    def recheck(self, to: To | None) -> None:
        self.calls.append(("recheck", to))

    def end(self, session: str) -> None:
        self.calls.append(("end", session))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def waits_for(self, tab: Tab, *texts: object) -> None:
        """Until the tab was told these notices, and nothing else."""
        wait_until(lambda: len(tab.texts) >= len(texts), f"{texts} at the tab")
        assert tab.texts == list(texts)


@contextmanager
def hubs(*pods: Pod, waits: bool = True) -> Iterator[list[Hub]]:
    """A hub for each pod, which hears what others say; by the time that the block begins, if it ``waits``."""
    from via_state.live.announcing.announcer import announcer_of, hear_for
    from via_state.live.serving import hubs as real

    made = [Hub(pod) for pod in pods]
    before, real.hubs_of = real.hubs_of, lambda pod: tuple(one for one in made if one.pod is pod)  # type: ignore[misc]
    try:
        for hub in made:
            hear_for(hub)  # type: ignore[arg-type]
            announcer = announcer_of(hub.pod)

            async def hears(announcer: Any = announcer) -> None:
                await announcer.carrier.holds()

            if waits:
                hub.pod.thread.call(hears())
        yield made
    finally:
        real.hubs_of = before
        for hub in made:
            hub.close()
