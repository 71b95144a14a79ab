"""Calls that serve many at once: while one is under way, those that want something meanwhile gather for the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

G = TypeVar("G", bound=Hashable)
W = TypeVar("W")
R = TypeVar("R")


class Together(Generic[G, W, R]):
    """``serve(group, wishes)`` gives one answer for each of up to ``most`` wishes of one group, in their order. All on the loop."""

    def __init__(self, serve: Callable[[G, list[W]], Awaitable[Sequence[R]]], most: int) -> None:
        self._serve, self._most = serve, most
        self._wishes: dict[G, list[tuple[W, asyncio.Future[R]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def one(self, group: G, wish: W) -> R:
        """The answer to one wish. Raises what ``serve`` raises, and what `close` was given."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._wishes.setdefault(group, []).append((wish, answer))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return await answer

    async def _run(self) -> None:
        await asyncio.sleep(0)  # those that are wanted at the same moment come along
        while self._wishes:
            group, wishes = next(iter(self._wishes.items()))
            del self._wishes[group]
            if rest := wishes[self._most :]:
                self._wishes[group] = rest  # after those of the other groups
            await self._answer(group, [one for one in wishes[: self._most] if not one[1].done()])
        self._task = None

    async def _answer(self, group: G, wishes: list[tuple[W, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._serve(group, [wish for wish, _ in wishes]) if wishes else ()
        except Exception as error:
            for _, future in wishes:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(wishes, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def close(self, error: Exception) -> None:
        """Nothing more is begun."""
        for wishes in self._wishes.values():
            for _, future in wishes:
                if not future.done():
                    future.set_exception(error)
        self._wishes.clear()
