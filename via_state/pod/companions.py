"""What works beside a pod, one of a kind for each: made when it is first asked for, and started and stopped with the pod."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

from via_state.pod.pod import Pod
from via_state.runtime.service import Service


class Companion(Protocol):
    """A service that `Pod.drain` waits for. It must not hold its pod, which would then never be gone."""

    async def settle(self) -> None:
        """Wait until nothing is under way."""


C = TypeVar("C", bound=Companion)


class Companions(Generic[C]):
    """Those of one kind, by pod."""

    def __init__(self, make: Callable[[Pod], C]) -> None:
        self._make = make
        self._begin()
        if hasattr(os, "register_at_fork"):  # Windows has no forks
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = Lock()
        self._by_pod: WeakKeyDictionary[Pod, C] = WeakKeyDictionary()

    def of(self, pod: Pod) -> C:
        """That of a pod. From any thread."""
        found = self._by_pod.get(pod)
        if found is None:
            with self._lock:
                found = self._by_pod.get(pod)
                if found is None:
                    found = self._by_pod[pod] = self._make(pod)
                    assert isinstance(found, Service)
                    pod.add(found, found.settle)
        return found
