"""Callers whose append is in its log, and who are told when this pod has folded it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from via_state.core.records import Pack, Position
from via_state.exceptions import LoopEnded
from via_state.logs import about
from via_state.pod.writing.answers import tell
from via_state.pod.writing.groups import Waiter
from via_state.runtime.loop import LoopThread

logger = logging.getLogger("via_state.pod")

#: Called on the loop after an append: key, last position, and the pack that it is, where it may be folded at once. Answers an awaitable
#: when this pod will fold it.
Appended = Callable[[str, Position, "Pack | None"], "asyncio.Future[None] | None"]
Answers = Sequence[tuple[Waiter, Position]]


class Folding:
    """On the loop, but for `wait`."""

    def __init__(self, thread: LoopThread, appended: Appended) -> None:
        self._thread, self._appended = thread, appended
        self._waiting: dict[asyncio.Future[None], list[tuple[Waiter, Position]]] = {}
        self._inbox: deque[tuple[str, Position, Waiter]] = deque()
        self._woken = False
        self.forget = thread.at_end(self._abandon)

    def wait(self, key: str, last: Position, waiter: Waiter) -> None:
        """Answer ``waiter`` with the position when it is folded here, or will not be soon. From any thread."""
        self._inbox.append((key, last, waiter))
        try:
            self._thread.refuse_ended()  # after that `_abandon` may have looked into the inbox already
            if not self._woken:
                self._woken = True
                self._thread.soon(self._take)
        except LoopEnded as error:
            self._abandon(error)
        except BaseException:
            self._woken = False  # a Ctrl-C: whoever comes next tries
            raise

    def _take(self) -> None:
        self._woken = False
        logs: dict[tuple[str, str], list[tuple[Waiter, Position]]] = {}
        while self._inbox:
            key, last, waiter = self._inbox.popleft()
            logs.setdefault((key, last.epoch), []).append((waiter, last))
        for (key, _epoch), answers in logs.items():
            self.after(self.of(key, max(last for _, last in answers)), answers)

    def of(self, key: str, last: Position, pack: Pack | None = None) -> asyncio.Future[None] | None:
        """What ends when this pod has folded up to ``last``, or will not soon; None where that is so already. ``pack``: what was
        appended, where there is time to fold it now.
        """
        try:
            fold = self._appended(key, last, pack)
        except Exception:  # it is in the log, and that is what the callers are told
            logger.exception("What was appended to %r is not waited for here.", key, extra=about(key=key))
            return None
        return None if fold is None or fold.done() else fold

    def after(self, fold: asyncio.Future[None] | None, answers: Answers) -> None:
        """Tell these when it has ended."""
        if fold is None:
            tell(answers)
        elif answers:
            self._waiting.setdefault(fold, []).extend(answers)
            fold.add_done_callback(lambda fold: tell(self._waiting.pop(fold, [])))

    def _abandon(self, _: LoopEnded) -> None:
        """The loop has ended: nobody folds. What was appended is in the log, and that is what the callers are told."""
        with suppress(IndexError):
            while True:
                _key, last, waiter = self._inbox.popleft()
                tell([(waiter, last)])
        for answers in list(self._waiting.values()):
            tell(answers)
