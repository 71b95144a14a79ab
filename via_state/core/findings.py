"""What an examination of a running system finds: `manage.py state_doctor` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """``OK``: looked at, and well. ``UNKNOWN``: could not be looked at. ``BAD``: somebody has to act."""

    OK = "ok"
    UNKNOWN = "unknown"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``id`` is one of the doctor's (D120); ``text`` says what is so and who causes it, ``hint`` what to do."""

    id: str
    level: Level
    text: str
    hint: str = ""


def well(id: str, text: str) -> Finding:
    """Looked at, and well."""
    return Finding(id, Level.OK, text)


def unknown(id: str, text: str, hint: str = "") -> Finding:
    """Could not be looked at."""
    return Finding(id, Level.UNKNOWN, text, hint)


def bad(id: str, text: str, hint: str) -> Finding:
    """Somebody has to act."""
    return Finding(id, Level.BAD, text, hint)


def some(id: str, found: list[Finding], text: str) -> list[Finding]:
    """What was found; where that is nothing, that it is well: ``text``."""
    return found or [well(id, text)]


def several(number: int, one: str, many: str, shown: str = "") -> str:
    """``1 record waits``, ``2,000 records wait``. ``shown``: the number, where more were not counted."""
    return f"1 {one}" if number == 1 else f"{shown or f'{number:,}'} {many}"


def lasted(seconds: float) -> str:
    """``7 s``, ``12 min``, ``3 h``, ``9 days``."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def amount(size: float) -> str:
    """``12 kB``, ``3.4 GB``."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size:.0f} bytes"
