"""How texts are shown that somebody else wrote: cut to a length, and escaped."""

from __future__ import annotations

from datetime import datetime

from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.timezone import is_aware, localtime

SHORT, LONG = 100, 50_000  # characters


def first_line(text: str, length: int = SHORT) -> str:
    """The beginning of a text, for a column."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= length else f"{line[: length - 1]}…"


def moment(time: datetime | None) -> str:
    """A time, as the admin writes those of columns."""
    if time is None:
        return "-"
    return str(localize(localtime(time) if is_aware(time) else time))


def block(text: str) -> str:
    """A text of several lines, as it is."""
    if not text:
        return "-"
    rest = f"\n… and {len(text) - LONG:,} more characters" if len(text) > LONG else ""
    return format_html('<pre class="via-text">{}{}</pre>', text[:LONG], rest)
