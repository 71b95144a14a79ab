"""The hubs of this process: one for each pod and event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from via_state.live.serving.hub import Hub
from via_state.pod.default import current_pod
from via_state.pod.pod import Pod

#: Called on its event loop with each new hub.
on_new_hub: list[Callable[[Hub], None]] = []

_hubs: WeakKeyDictionary[Pod, tuple[Hub, ...]] = WeakKeyDictionary()
_lock = threading.Lock()


def hub_here(pod: Pod | None = None) -> Hub:
    """The hub of the running event loop."""
    pod = current_pod() if pod is None else pod
    loop = asyncio.get_running_loop()
    for hub in _hubs.get(pod, ()):
        if hub.loop is loop:
            return hub
    hub = Hub(pod)
    with _lock:
        _hubs[pod] = (*hubs_of(pod), hub)
    for tell in on_new_hub:
        tell(hub)
    return hub


def hubs_of(pod: Pod) -> tuple[Hub, ...]:
    """The hubs of a pod whose event loops still run; from any thread."""
    return tuple(hub for hub in _hubs.get(pod, ()) if not hub.loop.is_closed())


def tabs() -> int:
    """How many live tabs this process has."""
    return sum(len(hub.tabs) for hub in hubs_of(current_pod()))
