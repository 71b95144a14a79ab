"""The process's own pod, made from the ``VIA_STATE`` setting on first use; in tests, in memory unless they ask for more."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from via_state.backplanes.base import Backplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.conf import settings
from via_state.pod.pod import Pod


class _Current(NamedTuple):
    """``sheltered``: whether it was made for tests; None where somebody chose it."""

    pod: Pod
    sheltered: bool | None

    @property
    def fits(self) -> bool:
        """A pod that somebody chose stays, also closed: its verbs raise. So does any one while the process ends."""
        thread = self.pod.thread
        if self.sheltered is None or not thread.alive or thread.ending:
            return thread.alive
        return not self.pod.closed and self.sheltered == sheltered()


#: The pod of one piece of code, over the process's.
_chosen: ContextVar[Pod | None] = ContextVar("via_state_pod", default=None)
_lock = threading.Lock()
_current: _Current | None = None
_asked = 0
#: Called with the process's pod when it is made.
on_new_pod: list[Callable[[Pod], None]] = []


def in_tests() -> bool:
    """Whether tests run in this process: while Django's test environment is set up, or while pytest runs with our plugin.

    Neither is imported to find out: a module that nobody has imported is not at work.
    """
    environment = sys.modules.get("django.test.utils")
    if environment is not None and hasattr(environment._TestState, "saved_data"):
        return True
    return bool(getattr(sys.modules.get("via_state.testing.plugin"), "running", False))


def sheltered() -> bool:
    """Whether tests run in this process that did not ask for the backplane of ``VIA_STATE``."""
    return not _asked and in_tests()


def make_backplane() -> Backplane:
    """A new backplane as ``VIA_STATE`` describes it; for tests that did not ask for it, one in memory instead of a durable one."""
    kind: type[Backplane] = import_string(settings.BACKEND)
    return MemoryBackplane() if kind.durable and sheltered() else kind(settings.backplane_options())


def current_pod() -> Pod:
    """The pod that ``using_pod`` chose, or this process's: a new one in a forked child, after it was closed or the setting changed, and where
    tests begin or end.
    """
    global _current
    if (chosen := _chosen.get()) is not None:
        return chosen
    current = _current
    if current is not None and current.fits:
        return current.pod
    if current is not None and current.pod.thread.fault is not None:
        current.pod.thread.refuse_ended()  # a new pod would hide it, and begin without what was kept in memory
    with _lock:
        if _current is None or not _current.fits:
            discard_pod()
            _current = _Current(Pod(make_backplane()), sheltered())
            for attend in on_new_pod:
                attend(_current.pod)
        return _current.pod


def existing_pod() -> Pod | None:
    """This process's pod where there is one; in tests, only one that somebody chose or used. For those who look on."""
    if (chosen := _chosen.get()) is not None:
        return chosen
    current = _current
    return current.pod if current is not None and current.fits else None


@contextmanager
def using_pod(pod: Pod) -> Iterator[Pod]:
    """Within the block, and in the tasks and threads that it starts with its context, declarations speak to ``pod``.

    So several pods of one process can serve requests at the same time. A handle that `using` bound to another one keeps that.
    """
    token = _chosen.set(pod)
    try:
        yield pod
    finally:
        _chosen.reset(token)


@contextmanager
def use_pod(pod: Pod) -> Iterator[Pod]:
    """Make ``pod`` the process's pod for a while. For tests."""
    global _current
    before = _current
    _current = _Current(pod, None)
    try:
        yield pod
    finally:
        _current = before


@contextmanager
def use_settings() -> Iterator[None]:
    """Within the block the process's pod is on the backplane that ``VIA_STATE`` names, also in tests."""
    global _current, _asked
    before, _current = _current, None
    _asked += 1
    try:
        yield
    finally:
        discard_pod()
        _asked -= 1
        _current = before


def discard_pod() -> None:
    """Close the process's pod, where there is one; the next verb makes another. For tests."""
    global _current
    current, _current = _current, None
    if current is not None and current.pod.thread.alive and not current.pod.closed:
        # Not `pod.close()`: an async test changes settings inside its event loop.
        current.pod.thread.submit(current.pod.aclose()).result(5)


def _setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "VIA_STATE":
        discard_pod()


def _after_fork() -> None:
    global _lock, _current
    _lock = threading.Lock()
    _current = None
    _chosen.set(None)


setting_changed.connect(_setting_changed)
if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_child=_after_fork)
