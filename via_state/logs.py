"""Log lines quote what errors say and how keys are named. None of it ends a line or moves a cursor.

What errors of the project's code say may have values of its data in it: without ``LOG_VALUES`` a line has their types, and tracebacks have their frames.
"""

from __future__ import annotations

import logging
import os
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator, Mapping

from via_state.core import text
from via_state.core.text import Quoting, error_trace, lines, one_line
from via_state.exceptions import Poison, RetryAfter, ViaStateError

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

    An error has its text where that is of via_state, of a server or of the system, and its type alone otherwise, unless ``LOG_VALUES`` is set; then
    a record has no error object either, which formatters would show. A traceback is indented, so that no line of an error's text can be taken for a line of the log. Each record has all `FACTS`, so that
    a formatter may name them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        known = {**dict.fromkeys(FACTS, ""), "via_pod": pod_id, "trace_id": trace_id()}
        vars(record).update({name: value for name, value in known.items() if not hasattr(record, name)})
        if isinstance(record.args, Mapping):
            record.args = {name: _clean(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(map(_clean, record.args))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not record.exc_text:
            trace = error_trace(error) if text.show_values() else lines("".join(_trace(error, set())))
            record.exc_text = textwrap.indent(trace, "    ").rstrip()
            if not text.show_values():
                record.exc_info = None
        return True


class _Line(str):
    """A text that is clean already, also for ``%r``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{self}'"


def _clean(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    if not text.show_values():
        if isinstance(value, Quoting):
            return _Line(one_line(value.plain))
        if isinstance(value, BaseException):
            return _Line(plain(value))
    try:
        said = str(value)
    except Exception:  # of an error of the project, whose own text raises
        return f"<{type(value).__name__}>"
    line = one_line(said)
    return value if line == said else _Line(line)


#: Modules whose errors speak of servers and connections.
_SERVERS = ("nats", "redis", "channels_redis", "socket", "ssl", "concurrent", "asyncio")
#: Those of databases, and of what the project does with them.
_DATABASES = ("django.db", "psycopg", "sqlite3")


def plain(error: BaseException) -> str:
    """What an error says, in one line, where no value of the project's data can be in it; else its type."""
    said = error.args[0] if error.args else ""
    if isinstance(said, Quoting):
        return one_line(said.plain)
    known = _spoken(error)
    return one_line(known) if known else f"{type(error).__name__} (LOG_VALUES shows its text)"


def _spoken(error: BaseException) -> str:
    module = type(error).__module__
    if isinstance(error, ViaStateError) and not isinstance(error, Poison | RetryAfter):
        return str(error) if _is_of(module, ("via_state",)) else ""
    if _is_of(module, _DATABASES):
        return _of_database(error)
    if _is_of(module, _SERVERS):
        return str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, ImportError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "" if error.args else type(error).__name__


def _of_database(error: BaseException) -> str:
    """Without the detail, which has the row; not of what the data, or a function in the database, caused."""
    state = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None) or ""
    return type(error).__name__ if state[:2] in ("22", "P0") else str(error).partition("\n")[0]


def _is_of(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def _with_type(error: BaseException) -> str:
    kind, said = type(error), plain(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name if said == kind.__name__ else f"{name}: {said.removeprefix(f'{kind.__name__} ')}"


def _trace(error: BaseException, seen: set[int]) -> Iterator[str]:
    """A traceback as Python shows it, without what errors of the project say: source code, and no values."""
    seen.add(id(error))
    cause, context = error.__cause__, error.__context__
    if cause is not None and id(cause) not in seen:
        yield from _trace(cause, seen)
        yield "\nThe above exception was the direct cause of the following exception:\n\n"
    elif context is not None and not error.__suppress_context__ and id(context) not in seen:
        yield from _trace(context, seen)
        yield "\nDuring handling of the above exception, another exception occurred:\n\n"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    yield f"{_with_type(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield textwrap.indent("".join(_trace(one, seen)), "  | ")


_FILTER = ForeignText()


def guard() -> None:
    """Put the filter on every logger of this package."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
