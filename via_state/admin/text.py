"""How texts are shown that somebody else wrote: cut to a length, and escaped."""

from __future__ import annotations

from datetime import datetime

from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.timezone import is_aware, localtime

from via_state.core.text import one_line, shown

SHORT, LONG = 100, 16_000  # characters


def first_line(text: str, length: int = SHORT) -> str:
    """The beginning of a text, for a column."""
    return one_line(text.strip().partition("\n")[0], length)


def moment(time: datetime | None) -> str:
    """A time, as the admin writes those of columns."""
    if time is None:
        return "-"
    return str(localize(localtime(time) if is_aware(time) else time))


def beginning(text: str, most: int = LONG) -> str:
    """The beginning of a text of several lines, and how much more there is."""
    rest = f"\n… and {len(text) - most:,} more characters" if len(text) > most else ""
    return shown(text, most) + rest


def block(text: str) -> str:
    """A text of several lines, as it is, as far as a page can hold it."""
    return format_html('<pre class="via-text">{}</pre>', beginning(text)) if text else "-"
