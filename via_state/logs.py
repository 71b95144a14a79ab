"""Log lines quote what visitors typed, what errors say and how keys are named. None of it ends a line or moves a cursor."""

from __future__ import annotations

import logging
import textwrap
import time
from collections.abc import Callable, Mapping

from via_state.core.text import error_trace, one_line

#: Every logger of this package. A test compares it with the code.
LOGGERS = (
    "via_state",
    "via_state.admin",
    "via_state.broadcast",
    "via_state.cells",
    "via_state.commits",
    "via_state.erasures",
    "via_state.handlers",
    "via_state.health",
    "via_state.layers",
    "via_state.live",
    "via_state.metrics",
    "via_state.outbox",
    "via_state.pod",
    "via_state.postgres",
    "via_state.projector",
    "via_state.runtime",
    "via_state.sessions",
    "via_state.snapshots",
)


#: What a line of ours may be about, as attributes of its record; "" where it is not.
FACTS = ("via_key", "via_handler", "via_offset", "via_reason", "via_pod", "trace_id")
#: The trace that the code which logs is in, if any: 32 hex digits. Set where Django is set up.
trace_id: Callable[[], str] = str
#: The pod of this process; the newest one where there are several.
pod_id = ""


def about(*, key: str = "", handler: str = "", offset: int | str = "", reason: str = "") -> dict[str, object]:
    """``extra=`` of a line, so that what stands in its text can be searched, counted and grouped by."""
    return {"via_key": one_line(key), "via_handler": one_line(handler), "via_offset": offset, "via_reason": reason}


class Sparing:
    """Says at most once in so many seconds that something is due, for each thing."""

    MOST = 1000

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._last: dict[tuple[object, ...], float] = {}

    def due(self, *what: object) -> bool:
        """Whether to log it now; otherwise it was logged a moment ago."""
        now = time.monotonic()
        if now - self._last.get(what, -self._seconds) < self._seconds:
            return False
        if len(self._last) >= self.MOST:
            self._last.clear()
        self._last[what] = now
        return True


class ForeignText(logging.Filter):
    """Cleans the arguments of a record, before any handler sees it; its template is ours.

    A traceback is indented, so that no line of an error's text can be taken for a line of the log. Each record has all `FACTS`, so that
    a formatter may name them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        known = {**dict.fromkeys(FACTS, ""), "via_pod": pod_id, "trace_id": trace_id()}
        vars(record).update({name: value for name, value in known.items() if not hasattr(record, name)})
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
