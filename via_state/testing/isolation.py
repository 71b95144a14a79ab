"""State for tests: fresh and in memory for each one, or on the backplane that ``VIA_STATE`` names for those that ask."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.default import current_pod, use_pod, use_settings
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


@contextmanager
def settings_pod() -> Iterator[Pod]:
    """Within the block, all declarations use the backplane of ``VIA_STATE``, with what is there; nothing is removed after it.

    Give the tests a ``PREFIX`` or a server of their own. On PostgreSQL make Django's test database first
    (``TransactionTestCase``, ``transactional_db``), or this is the database of ``DATABASES``.
    """
    with use_settings():
        yield current_pod()


def drain(pod: Pod | None = None) -> None:
    """Wait until everything appended so far is folded, and everything committed to the outbox is relayed."""
    (pod or current_pod()).drain()


_PODS = {"memory": memory_pod, "settings": settings_pod}


class StateTestMixin:
    """Put it before Django's ``TestCase``: each test starts with empty state in memory.

    ``state_backplane = "settings"`` has a class use the backplane of ``VIA_STATE`` instead, as `settings_pod` does.
    ``append_on_commit`` follows Django's rule for ``TestCase``: nothing commits, unless the test uses
    ``captureOnCommitCallbacks(execute=True)``. What ``setUpTestData`` and ``setUpClass`` write is not what the tests see.
    """

    state_backplane: ClassVar[Literal["memory", "settings"]] = "memory"
    pod: Pod

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if unittest.TestCase in order and order.index(unittest.TestCase) < order.index(StateTestMixin):
            raise TypeError(f"{cls.__qualname__}: StateTestMixin does nothing there. Put it before TestCase.")
        if cls.state_backplane not in _PODS:
            raise TypeError(
                f'{cls.__qualname__}.state_backplane is {cls.state_backplane!r}. Write "memory" or "settings".'
            )

    # Around the whole test, so that a setUp that forgets super() leaves nothing out.
    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        with _PODS[self.state_backplane]() as self.pod:
            found: unittest.TestResult | None = super().run(result)  # type: ignore[misc]
            return found

    def debug(self) -> None:
        with _PODS[self.state_backplane]() as self.pod:
            super().debug()  # type: ignore[misc]

    def drain(self) -> None:
        """Wait until everything appended so far is folded."""
        drain(self.pod)
