"""A live tab in an event loop, where nothing may block it: each verb has an awaited twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from django.test import AsyncClient

from via_state.pod.default import using_pod
from via_state.pod.pod import Pod
from via_state.testing.live.tab import LiveTab


class AwaitedTab(LiveTab):
    """A tab whose page was opened with Django's ``AsyncClient``. Made by `alive_tab`. What it shows is read as that of a `LiveTab`."""

    def __init__(self, client: AsyncClient, path: str, pod: Pod | None = None) -> None:
        super().__init__(client, path, pod)

    async def aopen(self) -> None:
        """`open`, awaited."""
        with using_pod(self.pod):
            response = await self.client.get(self.path, follow=True)
        await asyncio.to_thread(self.show, response)

    async def asubmit(self, form: str = "form", **fields: Any) -> Any:
        """`submit`, awaited."""
        sent = self.form(form)
        data = sent.data({**self.drafts.pop(form, {}), **fields})
        with using_pod(self.pod):
            response = await self.client.post(sent.action, data, headers=sent.headers)
            after = await self.client.get(again) if (again := sent.followed(response)) else response
        await asyncio.to_thread(self.show_answer, sent, after, done=after is not response)
        return response

    async def afill(self, form: str = "form", **fields: Any) -> Any:
        """`fill`, awaited."""
        asked = self.typed(form, fields)
        with using_pod(self.pod):
            return self.told(form, await self.client.generic(**asked))

    async def asees(self, selector: str, text: str) -> None:
        """`sees`, awaited."""
        await asyncio.to_thread(self.sees, selector, text)

    async def ais_gone(self, selector: str, why: str) -> None:
        """`is_gone`, awaited."""
        await asyncio.to_thread(self.is_gone, selector, why)

    async def ais_stale(self, selector: str) -> None:
        """`is_stale`, awaited."""
        await asyncio.to_thread(self.is_stale, selector)

    async def auntil(self, condition: Callable[[], bool]) -> None:
        """`until`, awaited. ``condition`` is asked on another thread."""
        await asyncio.to_thread(self.until, condition)

    async def asettled(self) -> None:
        """`settled`, awaited."""
        await asyncio.to_thread(self.settled)

    async def adrop(self) -> None:
        """`drop`, awaited."""
        await asyncio.to_thread(self.drop)

    async def aback(self) -> None:
        """`back`, awaited; a tab that sleeps wakes by it."""
        await asyncio.to_thread(self.back)

    async def asleep(self) -> None:
        """`sleep`, awaited."""
        await asyncio.to_thread(self.sleep)

    async def aon(self, pod: Pod) -> None:
        """`on`, awaited."""
        await asyncio.to_thread(self.on, pod)


@asynccontextmanager
async def alive_tab(client: AsyncClient, path: str, *, pod: Pod | None = None) -> AsyncIterator[AwaitedTab]:
    """`live_tab` in an event loop: ``async with alive_tab(async_client, "/") as tab: await tab.asees("#count", "1")``."""
    tab = AwaitedTab(client, path, pod)
    await tab.aopen()
    try:
        yield tab
    finally:
        await tab.adrop()
