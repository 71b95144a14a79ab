"""What a node shows to a visitor: rendered for its first paint and for each frame by the same code."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.db import connections

from via_state.conf import settings
from via_state.core.specs import LogSpec
from via_state.live.protocol.content import Content, Gone, Watched
from via_state.live.protocol.node import NodeSpec
from via_state.live.rendering.blocks import MOST_READS, Block, fragment_of, gone_as
from via_state.live.rendering.code import digest_of
from via_state.live.rendering.fragments import Fragment
from via_state.live.rendering.texts import Text
from via_state.live.visitors.locales import is_local, localized
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import current_pod, in_tests
from via_state.pod.reading.tracked_reads import track_reads
from via_state.runtime.loop import refuse_in_event_loop
from via_state.runtime.worker_threads import WorkerThreads

T = TypeVar("T")
#: Seconds that the render of a block may take before its tabs are told that it fails.
MOST_SECONDS = 30.0

__all__ = ["Gone", "apermitted", "arender", "code_of", "group_of", "locate", "permitted", "render"]


def render(spec: NodeSpec, visitor: Visitor, *, inline: bool = False) -> Content:
    """What the node shows, made in this thread. ``inline``: nodes in a block are written with their content.

    Raises `Gone` where there is nothing for this visitor, and whatever the fragment raises.
    """
    if spec.kind == "text":
        with nullcontext() if is_local(visitor.ticket) else localized(visitor.ticket):
            return _text(Text.of(spec, visitor.names))
    with localized(visitor.ticket):
        block = Block(spec, visitor, inline=inline)
        if not block.fragment.shared and not _allowed(block.fragment, block.values, block.visitor):
            raise Gone("denied")
        with gone_as(), track_reads(MOST_READS) as reads:
            function = block.fragment.function
            if block.fragment.is_async:
                refuse_in_event_loop("via_live", "sync_to_async(render)")
            call = async_to_sync(function) if block.fragment.is_async else function
            html = block.paint(block.checked(call(*block.arguments(), **block.values)), group_of(spec, visitor))
        return block.content(html, reads)


async def arender(spec: NodeSpec, visitor: Visitor) -> Content:
    """`render`, on an event loop: a text whose state is loaded takes no way to another thread; a template is rendered on one of ours."""
    if spec.kind == "text":
        text = Text.of(spec, visitor.names)
        shown = None if text.watched is None else await current_pod().ashown(*text.watched)
        with localized(visitor.ticket):
            return text.initial() if shown is None else text.content(shown)
    block = Block(spec, visitor)
    fragment, group = block.fragment, group_of(spec, visitor)
    if not fragment.shared and not await _aallowed(fragment, block.values, block.visitor):
        raise Gone("denied")
    with localized(visitor.ticket), gone_as(), track_reads(MOST_READS) as reads:
        async with _deadline(f"{fragment} took longer than {MOST_SECONDS:g} s to render."):
            call = partial(fragment.function, *block.arguments(), **block.values)
            if fragment.is_async:
                data = await call()
                html = await _threaded(visitor, lambda: block.paint(block.checked(data), group))
            else:
                html = await _threaded(visitor, lambda: block.paint(block.checked(call()), group))
    return block.content(html, reads)


@asynccontextmanager
async def _deadline(message: str) -> AsyncIterator[None]:
    """Raises TimeoutError with this message after `MOST_SECONDS`. A function that runs on costs its thread, see `WorkerThreads`."""
    limit = asyncio.timeout(MOST_SECONDS)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        raise (TimeoutError(message) if limit.expired() else error) from error


def locate(spec: NodeSpec, names: Iterable[str], visitor: Visitor) -> dict[str, Watched]:
    """What a page calls by these names, without rendering or asking anything. Raises `Gone` for what no declaration reads."""
    if spec.kind == "text":
        Text.of(spec, visitor.names)
    else:
        fragment_of(spec).values(spec)
    return {name: visitor.names.find(name) for name in names}


def code_of(spec: NodeSpec) -> str:
    """What stands for the code of a block's fragment; empty for a text. Raises `Gone` for a fragment that is not declared."""
    return "" if spec.kind == "text" else digest_of(fragment_of(spec))


def permitted(spec: NodeSpec, visitor: Visitor) -> bool:
    """Whether the fragment's ``allow`` lets the visitor see it. May query."""
    if spec.kind == "text" or (fragment := fragment_of(spec)).allow is None:
        return True
    return _allowed(fragment, fragment.values(spec), visitor.again())


async def apermitted(spec: NodeSpec, visitor: Visitor) -> bool:
    """`permitted`, awaited. Raises what ``allow`` raises, and TimeoutError."""
    if spec.kind == "text" or (fragment := fragment_of(spec)).allow is None:
        return True
    return await _aallowed(fragment, fragment.values(spec), visitor.again())


def group_of(spec: NodeSpec, visitor: Visitor) -> tuple[str, ...]:
    """Visitors with the same one see exactly the same."""
    ticket = visitor.ticket
    parts = {"all": "", "session": ticket.sid, "user": ticket.user, "visitor": ticket.audience}
    # The host is in what a visitor's block may ask for.
    more = (visitor.scheme, visitor.host) if spec.audience == "visitor" else ()
    return (spec.id, parts[spec.audience], ticket.language, ticket.timezone, *more)


def _text(text: Text) -> Content:
    if (watched := text.watched) is None:
        return text.initial()
    pod, (key, spec) = current_pod(), watched
    with track_reads() as reads:  # asks who waits for what the visitor wrote
        if isinstance(spec, LogSpec):
            pod.read(key, spec)
        else:
            pod.get(key, spec)
    return text.content(reads.of(pod)[key].shown)


# Permission ---------------------------------------------------------------------------------------------------


def _allowed(fragment: Fragment, values: dict[str, Any], visitor: Visitor) -> bool:
    if (allow := fragment.allow) is None:
        return True
    try:
        with gone_as():
            call = async_to_sync(allow) if iscoroutinefunction(allow) else allow
            return bool(call(_user_of(visitor), **values))
    except Gone:
        return False


async def _aallowed(fragment: Fragment, values: dict[str, Any], visitor: Visitor) -> bool:
    if (allow := fragment.allow) is None:
        return True
    async with _deadline(f"{fragment}: its allow took longer than {MOST_SECONDS:g} s."):
        if not iscoroutinefunction(allow):
            return await _threaded(visitor, lambda: _allowed(fragment, values, visitor))
        try:
            with gone_as():
                user = await _threaded(visitor, lambda: _user_of(visitor))
                return bool(await allow(user, **values))
        except Gone:
            return False


def _user_of(visitor: Visitor) -> Any:
    """The user, looked for already."""
    user = visitor.user
    _ = user.is_authenticated
    return user


# Threads ------------------------------------------------------------------------------------------------------

_threads: WorkerThreads | None = None


async def _threaded(visitor: Visitor, function: Callable[[], T]) -> T:
    """Await ``function()`` on a thread that renders, in a copy of this context."""

    def localised() -> T:
        with localized(visitor.ticket):  # Django keeps them for each thread
            return function()

    global _threads
    if (threads := _threads) is None or threads.size != settings.LIVE_RENDERERS:
        # In tests a database goes when its tests are over, and with it all connections.
        threads = WorkerThreads(
            settings.LIVE_RENDERERS,
            "via-state-render",
            connections.close_all,
            idle=0 if in_tests() else 10.0,
            replaces=True,
        )
        threads.start()
        _threads = threads
    return await threads.run(copy_context().run, localised)


def _after_fork() -> None:
    global _threads
    _threads = None


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
