"""Where only pure functions of the project run: folds, upcasters, migrations, functions for ``default=``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from via_state.exceptions import StateInPureFunction


class _Here(threading.local):
    pure = False


_here = _Here()


@contextmanager
def pure_functions_only() -> Iterator[None]:
    """In the block this thread calls no other code of the project: so a verb of a state is called by such a function."""
    before, _here.pure = _here.pure, True
    try:
        yield
    finally:
        _here.pure = before


def refuse_in_pure_function(verb: str) -> None:
    """Raise `StateInPureFunction` where the verb would answer differently in each process, or wait for the thread it runs on."""
    if _here.pure:
        raise StateInPureFunction(
            f"{verb}() was called by a fold, an upcaster, a migration or a function for default=, which must be pure: the same in every "
            "process, at any time. Give it what it needs: put it into the event when that is appended."
        )
