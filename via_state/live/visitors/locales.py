"""The language and the time zone of a page, when it is rendered and long after."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta, tzinfo

from django.conf import settings as django_settings
from django.utils import timezone, translation

from via_state.live.visitors.tokens import Ticket


@contextmanager
def localized(ticket: Ticket) -> Iterator[None]:
    """Within the block the language and the time zone are the page's."""
    language = ticket.language or django_settings.LANGUAGE_CODE
    with translation.override(language), timezone.override(zone_of(ticket.timezone)):
        yield


def is_local(ticket: Ticket) -> bool:
    """Whether they are so already, as while the page is made."""
    here = translation.get_language(), timezone.get_current_timezone()
    return here == (ticket.language or django_settings.LANGUAGE_CODE, zone_of(ticket.timezone))


def name_of_zone(zone: tzinfo) -> str:
    """A name that `zone_of` reads."""
    if key := getattr(zone, "key", None):
        return str(key)
    offset = zone.utcoffset(None) or timedelta(0)
    return f"{offset.total_seconds() / 60:+.0f}"


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; the project's where it is unknown here."""
    try:
        if name[:1] in ("+", "-"):
            return timezone.get_fixed_timezone(int(name))
        if name:
            return zoneinfo.ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        pass
    return timezone.get_default_timezone()
