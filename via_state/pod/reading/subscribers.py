"""From the pod's loop to readers in any other: one wake-up for each event loop and change, however many readers it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol, TypeVar

from via_state.core.visibility import Shown
from via_state.runtime.loop import LoopThread

T = TypeVar("T")


class Subscribed(Protocol[T]):
    """A projection or a copy of a cell, as its readers see it."""

    subscribers: Subscribers

    @property
    def shown(self) -> Shown[T]:
        """What readers have now; from any thread."""


class _Readers:
    """The readers of one event loop. Its callbacks belong to that loop, ``due`` to both."""

    __slots__ = ("callbacks", "due", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.callbacks: dict[object, Callable[[], None]] = {}
        self.due = False

    def wake(self) -> None:
        """On the readers' loop."""
        self.due = False  # before they look: what changes from now on wakes them again
        for callback in list(self.callbacks.values()):
            callback()


class Subscribers:
    """Who is told when one key changes. Empty it is a few bytes. On the pod's loop, but for the callbacks."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: tuple[_Readers, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def ring(self) -> None:
        """The value changed."""
        for group in self._groups:
            if not group.due:
                group.due = True
                try:
                    group.loop.call_soon_threadsafe(group.wake)
                except RuntimeError:  # that loop was closed, its readers are gone
                    self._groups = tuple(one for one in self._groups if one is not group)

    def of(self, loop: asyncio.AbstractEventLoop) -> _Readers:
        """The readers of a loop."""
        for group in self._groups:
            if group.loop is loop:
                return group
        group = _Readers(loop)
        self._groups = (*self._groups, group)
        return group

    def leave(self, group: _Readers) -> None:
        """Forget a loop that has no readers any more."""
        if not group.callbacks:
            self._groups = tuple(one for one in self._groups if one is not group)


class Subscription:
    """One reader. Its callback runs on the reader's loop, soon after each change; changes in quick succession are one call."""

    __slots__ = ("_closed", "_group", "_of", "_thread")

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._closed = False
        self._of: Subscribers | None = None
        self._group: _Readers | None = None

    async def enter(
        self, find: Callable[[], Subscribed[T]], loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
    ) -> Subscribed[T]:
        """Begin. On the pod's loop: what is found has a reader before anything else happens there, so that it stays."""
        subject = find()
        if not self._closed:
            self._of = subject.subscribers
            self._group = self._of.of(loop)
            self._group.callbacks[self] = callback
        return subject

    def close(self) -> None:
        """Call no more. Closing twice is harmless."""
        self._closed = True  # whoever closes while it enters may be faster
        if self._group is not None:
            self._group.callbacks.pop(self, None)
        if self._thread.alive:
            self._thread.soon(self._leave)

    def _leave(self) -> None:
        if self._of is not None and self._group is not None:
            self._group.callbacks.pop(self, None)
            self._of.leave(self._group)


async def subscribe(
    thread: LoopThread, find: Callable[[], Subscribed[T]], callback: Callable[[], None]
) -> tuple[Subscription, Subscribed[T]]:
    """Have ``callback()`` called on the running loop after each change of what ``find()`` gives on the pod's loop, from now on."""
    subscription = Subscription(thread)
    try:
        subject = await thread.acall(subscription.enter(find, asyncio.get_running_loop(), callback))
    except BaseException:
        subscription.close()
        raise
    return subscription, subject


async def latest_values(
    thread: LoopThread, find: Callable[[], Subscribed[T]], load: Callable[[], Awaitable[object]]
) -> AsyncGenerator[T, None]:
    """The value now, and each newer one. Holds one value, never a queue; a halt and its end are not values.

    ``load`` returns when there is a value.
    """
    changed, loop = asyncio.Event(), asyncio.get_running_loop()
    subscription, subject = await subscribe(thread, find, changed.set)
    forget = thread.at_end(lambda _: loop.call_soon_threadsafe(changed.set))
    last: Shown[T] | None = None
    try:
        await load()
        while True:
            thread.refuse_ended()
            changed.clear()
            now = subject.shown
            if last is None or now.position != last.position or now.value is not last.value:
                yield now.value
            last = now
            await changed.wait()
    finally:
        forget()
        subscription.close()
