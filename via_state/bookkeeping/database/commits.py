"""Transactions of ours in which a project's code may run. After the commit what was written is done, whatever happens then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connections, transaction

from via_state import telemetry
from via_state.conf import settings
from via_state.logs import Sparing, about

logger = logging.getLogger("via_state.commits")
_said = Sparing()


@contextmanager
def committing(what: str, detail: str = "") -> Iterator[None]:
    """``transaction.atomic()`` on ``DATABASE``, which no `on_commit` hook can make look failed.

    Django runs the hooks after the commit and inside the end of ``atomic()``: one that raises looks like a transaction that
    failed, and the hooks after it are lost. Here each is run; an error is logged, and counted under ``what``. ``detail``
    tells a person which record it was.
    """
    alias = settings.DATABASE
    with transaction.atomic(using=alias):
        connection: Any = connections[alias]  # django-stubs know hooks without ``robust``
        before = len(connection.run_on_commit)  # hooks of a transaction around this one are not ours
        yield
        connection.run_on_commit[before:] = [
            (savepoints, partial(after_commit, hook, what, detail), robust)
            for savepoints, hook, robust in connection.run_on_commit[before:]
        ]


def after_commit(hook: Callable[[], object], what: str, detail: str = "") -> None:
    """Run what belongs after a commit. It can't undo the commit, so nothing that it raises goes further."""
    try:
        hook()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too: it would end a worker
        telemetry.AfterCommitFailed(what).emit()
        # A hook that always raises does so at every event.
        again = not _said.due(what, getattr(hook, "__qualname__", ""), type(error))
        logger.log(
            logging.DEBUG if again else logging.ERROR,
            "An on_commit hook raised after the commit of %s. What was committed stays, and the hook is not called again.",
            detail or what,
            exc_info=error,
            extra=about(reason=what),
        )
