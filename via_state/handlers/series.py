"""What one thread delivers in a row: one key of a handler after the other, without a way back to the loop between them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from via_state.bookkeeping.positions import Claim, PositionStore
from via_state.core.project_code import contained
from via_state.core.records import Position
from via_state.handlers.delivering import Finish, Turn
from via_state.runtime.database_errors import look_elsewhere

logger = logging.getLogger("via_state.handlers")


class Turning(Protocol):
    """One handler on one key, as a thread sees it. See `Deliverer`."""

    @property
    def claim(self) -> Claim: ...

    def turn(self, seconds: float, finish: Finish) -> Turn: ...

    def first(self) -> int: ...


class Waiting:
    """What waits for a thread, and the answer that the loop waits for."""

    __slots__ = ("_answer", "_loop", "work")

    def __init__(self, work: Turning) -> None:
        self.work = work
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Turn] = self._loop.create_future()

    @property
    def done(self) -> bool:
        """Whether nobody waits for it any more. From any thread."""
        return self._answer.done()

    async def result(self) -> Turn:
        """What came of it. Raises what the turn raised, and what `fail` was given."""
        return await self._answer

    def fail(self, error: Exception) -> None:
        """It gets no thread. On the loop."""
        if not self._answer.done():
            self._answer.set_exception(error)

    def answer(self, result: Turn | Exception) -> None:
        """From a thread."""
        self._loop.call_soon_threadsafe(self._set, result)

    def _set(self, result: Turn | Exception) -> None:
        if isinstance(result, Exception):
            self.fail(result)
        elif not self._answer.done():
            self._answer.set_result(result)


class Series:
    """Delivers ``first``, and what ``following`` gives after it, for about ``seconds``. On a thread.

    What stores that one key is done says in the same statement that the next one's first record is being delivered: a commit less
    for each. A key that is done is stored at once where no other one follows.
    """

    def __init__(
        self,
        store: PositionStore,
        following: Callable[[], Waiting | None],
        between: Callable[[], None],
        seconds: float,
    ) -> None:
        self._store, self._following, self._between = store, following, between
        self._until = time.monotonic() + seconds
        self._next: Waiting | None = None

    def run(self, first: Waiting) -> None:
        """Returns when nothing follows. Raises nothing: what a key raises is its answer."""
        one: Waiting | None = first
        while one is not None:
            result: Turn | Exception
            try:
                result = one.work.turn(max(0.0, self._until - time.monotonic()), self._finish)
            except BaseException as error:
                look_elsewhere(error)
                result = contained(error)
            one.answer(result)
            one = self._prepared() or self._take()
            if one is not None:
                self._between()

    def _prepared(self) -> Waiting | None:
        one, self._next = self._next, None
        return one

    def _take(self) -> Waiting | None:
        return self._following() if time.monotonic() < self._until else None

    def _finish(self, claim: Claim, position: Position) -> None:
        self._next = self._take()
        if self._next is not None and (offset := self._next.work.first()):
            self._store.hand_on(claim, position, self._next.work.claim, offset)
        else:
            self._store.advance(claim, position, 0)
