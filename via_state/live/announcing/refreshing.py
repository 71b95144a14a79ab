"""Live blocks whose data is not state: they are rendered again when somebody says so."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from django.db import transaction

from via_state.live.announcing.announcement import Refresh
from via_state.live.announcing.announcer import announcer_of
from via_state.live.announcing.audience import nodes_of
from via_state.pod.default import current_pod
from via_state.runtime.loop import refuse_in_event_loop


def _nodes(fragment: str, arguments: Mapping[str, object]) -> tuple[str, ...]:
    instead = "Let it read a state that changes with its data, or give it an argument in the place of the page."
    return nodes_of(fragment, arguments, instead)


def refresh(fragment: str, /, **arguments: object) -> None:
    """Have a live block rendered again in every tab, of every process, that shows it with these arguments: data that is not state changed.

    It is said at most once. Raises `FragmentUnknown`, `DeclarationError` (the arguments),
    ValueError (a fragment that is ``by_page``), `BroadcastTooOften`, and `BroadcastFailed` after this process's tabs were told.
    """
    refuse_in_event_loop("refresh", "arefresh")
    pod = current_pod()
    pod.thread.call(announcer_of(pod).say(Refresh(_nodes(fragment, arguments))))


async def arefresh(fragment: str, /, **arguments: object) -> None:
    """`refresh`, awaited."""
    pod = current_pod()
    await pod.thread.acall(announcer_of(pod).say(Refresh(_nodes(fragment, arguments))))


def refresh_on_commit(fragment: str, /, **arguments: object) -> None:
    """`refresh` once the transaction of the default database has committed; at once where there is none.

    What it raises then is logged: the transaction is not affected.
    """
    _nodes(fragment, arguments)  # said now, where the caller can see it
    transaction.on_commit(partial(refresh, fragment, **arguments), robust=True)
