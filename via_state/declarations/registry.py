"""All declared state of the process."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.apps import apps

from via_state.declarations.group import Group
from via_state.pod.default import in_tests

logger = logging.getLogger("via_state")
#: Keys whose declaration is remembered.
MOST_KEYS = 10_000


class Registry:
    """What concrete `State` classes declare, in the order of their definition.

    It holds each `Definition` without knowing what one is: definitions look here for those they collide with.
    """

    def __init__(self) -> None:
        self._definitions: dict[tuple[str, str], Sequence[Any]] = {}
        self._by_label: dict[str, Any] | None = None
        self._by_key: dict[tuple[str, str], Any] = {}
        #: What was declared after Django had started, and in which module.
        self.late: dict[str, str] = {}
        self._in_time: set[str] = set()

    def add(self, state: type[Group], definitions: Sequence[Any]) -> None:
        """Called when a class is defined. One that is defined again (a reloaded module) replaces itself."""
        self._definitions[state.__module__, state.__qualname__] = definitions
        self._forget()
        self.note(label_of(state), state.__module__)

    @staticmethod
    def is_late() -> bool:
        """Whether Django has started: what is declared now was not found where every process looks for it. Tests may declare."""
        return apps.ready and not in_tests()

    def note(self, what: str, module: str) -> None:
        """Keep what is late for a check, and say it where nobody runs one. A reloaded module declares again what was in time."""
        if not self.is_late():
            self._in_time.add(what)
        if what in self._in_time:
            return
        self.late[what] = module
        logger.warning(
            "%s is declared in %s after Django had started: other processes, and workers among them, may not know it. Declare it in the "
            "state.py of an app, or in a module that one imports.",
            what,
            module,
        )

    def definitions(self) -> Iterator[Any]:
        """Each one once: a subclass of a concrete class shares its parent's."""
        for definitions in list(self._definitions.values()):
            yield from definitions

    def find(self, label: str) -> Any | None:
        """What is called ``app_label.Class.name``, as messages write it; None where nothing is."""
        if (known := self._by_label) is None:
            known = self._by_label = {str(one): one for one in self.definitions()}
        return known.get(label)

    def labels(self) -> Iterable[str]:
        """What `find` knows."""
        return map(str, self.definitions())

    def reading(self, scope: str, key: str) -> Any | None:
        """What has this key, without its owner's part, in the scope of this name; None where nothing has."""
        if (found := self._by_key.get((scope, key))) is None:
            for one in self.definitions():
                if one.scope.name == scope and one.problem() is None and one.template().reads(key):
                    found = one
                    break
            else:
                return None
            if len(self._by_key) >= MOST_KEYS:
                self._by_key.clear()
            self._by_key[scope, key] = found
        return found

    def _forget(self) -> None:
        self._by_label = None
        self._by_key = {}

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Within the block the registry is empty, and what is declared in it is forgotten after. For tests."""
        before, self._definitions = self._definitions, {}
        self._forget()
        try:
            yield
        finally:
            self._definitions = before
            self._forget()


registry = Registry()


def label_of(state: type[Group]) -> str:
    """``app_label.Class``: how checks and errors call a class."""
    config = apps.get_containing_app_config(state.__module__) if apps.apps_ready else None
    app_label = state.__module__.partition(".")[0] if config is None else config.label
    return f"{app_label}.{state.__name__}"
