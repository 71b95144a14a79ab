"""An age on a command line."""

from __future__ import annotations

import re
from datetime import timedelta

from django.core.management.base import CommandError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 36_500 * 86400  # seconds: a date that every database knows


def age(text: str) -> timedelta:
    """``90s``, ``15m``, ``2h`` or ``7d``. Raises `CommandError`."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([smhd])", text)
    if match is None or (seconds := float(match[1]) * _UNITS[match[2]]) > _MOST:
        raise CommandError(f"Invalid age {text!r}. Use 90s, 15m, 2h or 7d.", returncode=2)
    return timedelta(seconds=seconds)
