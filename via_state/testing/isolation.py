"""A fresh, empty state for each test, in memory: no server, no database threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.default import current_pod, use_pod
from via_state.pod.pod import Pod


@contextmanager
def memory_pod() -> Iterator[Pod]:
    """Within the block, all declarations use a new memory backplane."""
    pod = Pod(MemoryBackplane({}))
    try:
        with use_pod(pod):
            yield pod
    finally:
        pod.close()


def drain(pod: Pod | None = None) -> None:
    """Wait until everything appended so far is folded, and everything committed to the outbox is relayed."""
    (pod or current_pod()).drain()


class StateTestMixin:
    """Put it before Django's ``TestCase``: each test starts with empty state in memory.

    ``append_on_commit`` follows Django's rule for ``TestCase``: nothing commits, unless the test uses
    ``captureOnCommitCallbacks(execute=True)``.
    """

    addCleanup: Callable[..., None]  # of the TestCase it is mixed into

    def setUp(self) -> None:
        stack = memory_pod()
        self.pod = stack.__enter__()
        self.addCleanup(stack.__exit__, None, None, None)
        super().setUp()  # type: ignore[misc]

    def drain(self) -> None:
        """Wait until everything appended so far is folded."""
        drain(self.pod)
