"""The process's own pod, made from the ``VIA_STATE`` setting on first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from via_state.backplanes.base import Backplane
from via_state.conf import settings
from via_state.pod.pod import Pod

_lock = threading.Lock()
_current: Pod | None = None
#: Called with the process's pod when it is made.
on_new_pod: list[Callable[[Pod], None]] = []


def make_backplane() -> Backplane:
    """A new backplane as ``VIA_STATE`` describes it."""
    backplane: Backplane = import_string(settings.BACKEND)(settings.backplane_options())
    return backplane


def current_pod() -> Pod:
    """This process's pod; a new one in a forked child and after the setting changed."""
    global _current
    pod = _current
    if pod is not None and pod.thread.alive:
        return pod
    with _lock:
        if _current is None or not _current.thread.alive:
            _current = Pod(make_backplane())
            for attend in on_new_pod:
                attend(_current)
        return _current


@contextmanager
def use_pod(pod: Pod) -> Iterator[Pod]:
    """Make ``pod`` the process's pod for a while. For tests."""
    global _current
    before = _current
    _current = pod
    try:
        yield pod
    finally:
        _current = before


def _setting_changed(*, setting: str, **_: Any) -> None:
    global _current
    if setting == "VIA_STATE" and _current is not None:
        pod, _current = _current, None
        if pod.thread.alive:
            # Not `pod.close()`: an async test changes settings inside its event loop.
            pod.thread.submit(pod.aclose()).result(5)


def _after_fork() -> None:
    global _lock, _current
    _lock = threading.Lock()
    _current = None


setting_changed.connect(_setting_changed)
os.register_at_fork(after_in_child=_after_fork)
