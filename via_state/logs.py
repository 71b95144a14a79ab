"""Log lines quote what visitors typed, what errors say and how keys are named. None of it ends a line or moves a cursor."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Mapping

from via_state.core.text import error_trace, one_line

#: Every logger of this package. A test compares it with the code.
LOGGERS = (
    "via_state",
    "via_state.admin",
    "via_state.cells",
    "via_state.commits",
    "via_state.erasures",
    "via_state.handlers",
    "via_state.health",
    "via_state.layers",
    "via_state.metrics",
    "via_state.outbox",
    "via_state.pod",
    "via_state.postgres",
    "via_state.projector",
    "via_state.runtime",
    "via_state.sessions",
    "via_state.snapshots",
)


class ForeignText(logging.Filter):
    """Cleans the arguments of a record, before any handler sees it; its template is ours.

    A traceback is indented, so that no line of an error's text can be taken for a line of the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, Mapping):
            record.args = {name: _clean(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_clean, record.args))
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            record.exc_text = textwrap.indent(error_trace(record.exc_info[1]), "    ").rstrip()
        return True


class _Line(str):
    """A text that is clean already, also for ``%r``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{self}'"


def _clean(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    try:
        text = str(value)
    except Exception:  # of an error of the project, whose own text raises
        return f"<{type(value).__name__}>"
    line = one_line(text)
    return value if line == text else _Line(line)


_FILTER = ForeignText()


def guard() -> None:
    """Put the filter on every logger of this package."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
