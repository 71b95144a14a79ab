"""State for tests: fresh for each one, in memory, or on the backplane that ``VIA_STATE`` names for those that ask."""

from __future__ import annotations

import logging
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from via_state.backplanes.memory import MemoryBackplane
from via_state.conf import settings
from via_state.exceptions import BackplaneUnavailable
from via_state.pod.default import current_pod, discard_pod, make_backplane, use_pod, use_settings
from via_state.pod.pod import Pod
from via_state.runtime.loop import current_loop
from via_state.testing.draining import adrain, drain

logger = logging.getLogger("via_state.testing")


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
    """Within the block, all declarations use the backplane of ``VIA_STATE``, with fresh, empty state.

    It is kept apart by a ``PREFIX`` of its own, which ``via_state.conf.settings.PREFIX`` has meanwhile, and what the backplane
    stores is removed at the end, when all connections are closed. On PostgreSQL make Django's test database first
    (``TransactionTestCase``, ``transactional_db``), or this is the database of ``DATABASES``.
    """
    with settings.fresh_prefix(), use_settings():
        pod = current_pod()
        try:
            yield pod
        finally:
            discard_pod()  # another one where a setting changed meanwhile
            current_loop().call(_clean_up(pod))


async def _clean_up(pod: Pod) -> None:
    """Close the pod, and remove what its prefix stores. A test that took its server away leaves it."""
    await pod.aclose()
    await pod.disconnected()
    plane = make_backplane()
    try:
        await plane.erase()
    except BackplaneUnavailable as error:
        logger.warning("The state of a test could not be removed: %s", error)
    finally:
        await plane.close()


_PODS = {"memory": memory_pod, "settings": settings_pod}


class StateTestMixin:
    """Put it before Django's ``TestCase``: each test starts with empty state in memory.

    ``state_backplane = "settings"`` has a class use the backplane of ``VIA_STATE`` instead, as `settings_pod` does.
    ``append_on_commit`` follows Django's rule for ``TestCase``: nothing commits, unless the test uses
    ``captureOnCommitCallbacks(execute=True)``. What ``setUpTestData`` and ``setUpClass`` write is not what the tests see.
    The pod is closed before Django empties or rolls back the database.
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
        """Run all event handlers on this thread, until none has anything to do: see `via_state.testing.drain`."""
        drain(self.pod)

    async def adrain(self) -> None:
        """`drain`, awaited."""
        await adrain(self.pod)
