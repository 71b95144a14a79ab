"""The ticket of a request: what its page says about who opened it."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth import SESSION_KEY as USER_SESSION_KEY
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.module_loading import import_string

from via_state.conf import settings
from via_state.declarations.session_id import read_sid
from via_state.live.visitors.locales import name_of_zone
from via_state.live.visitors.tokens import Ticket, digest

#: Into how many parts the life of tokens is divided: within one of them they are the same text, so that pages and frames are.
PARTS = 4


def issue_time() -> int:
    """When what is signed now counts as issued, in seconds since 1970."""
    now, part = int(time.time()), max(1, int(settings.LIVE_TOKEN_AGE / PARTS))
    return now - now % part


def ticket_of(request: HttpRequest) -> Ticket:
    """Who opened the page, and how it is rendered for them. It starts no session.

    Only the user counts whom the session has signed in: a socket brings the session's cookie, and nothing else.
    """
    session: Any = getattr(request, "session", None)
    user = key = login = sid = ""
    if session is not None:
        if session.session_key is None and session.modified and not session.is_empty():
            session.save()  # its key is in the answer anyhow
        if session.session_key is not None:
            key, sid = digest(session.session_key), read_sid(session) or ""
            if _signed_in(request, session):
                user, login = str(session[USER_SESSION_KEY]), digest(session.get(HASH_SESSION_KEY, ""))
    return Ticket(
        user=user,
        session=key,
        login=login,
        sid=sid,
        language=translation.get_language() or django_settings.LANGUAGE_CODE,
        timezone=name_of_zone(timezone.get_current_timezone()),
        path=request.get_full_path()[:MOST_PATH],
        groups=groups_of(request),
        issued=issue_time(),
    )


#: Characters of a page's address that are kept.
MOST_PATH = 700


def _signed_in(request: HttpRequest, session: Any) -> bool:
    user = getattr(request, "user", None) if USER_SESSION_KEY in session else None
    if user is None or not user.is_authenticated:
        return False
    return (
        str(user._meta.pk.value_to_string(user)) == str(session[USER_SESSION_KEY])
        if hasattr(user, "_meta")
        else False
    )


def groups_of(request: HttpRequest) -> tuple[str, ...]:
    """The groups that ``LIVE_GROUPS`` says the visitor is in."""
    if settings.LIVE_GROUPS is None:
        return ()
    return tuple(sorted({str.__str__(name) for name in import_string(settings.LIVE_GROUPS)(request)}))


def make_personal(request: HttpRequest | None) -> None:
    """The answer is of this visitor alone: caches must not give it to others.

    Reading the session makes the answer vary with the cookie; the middlewares of via_state say ``Cache-Control: private`` as well.
    """
    if request is None:
        return
    request._via_personal = True  # type: ignore[attr-defined]
    if (session := getattr(request, "session", None)) is not None:
        session.accessed = True
