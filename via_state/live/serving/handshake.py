"""Who is at the other end of a connection: the one who opened the page, in the same browser and signed in as then. Asks no database."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.http import parse_cookie

from via_state import telemetry
from via_state.conf import settings
from via_state.live.protocol.frames import Farewell
from via_state.live.serving.origin import header
from via_state.live.serving.refusals import refuse
from via_state.live.visitors.tokens import NodeToken, Ticket, TokenRefused, digest, open_ticket, open_token
from via_state.live.visitors.visitor import Visitor


class Refused(Exception):
    """A connection that is not served; ``why`` is what its tab is told."""

    def __init__(self, why: Farewell) -> None:
        super().__init__(why)
        self.why: Farewell = why


def session_of(scope: Mapping[str, Any]) -> str:
    """The key of the session that the browser sends, which may be of no session; empty where it sends none."""
    return parse_cookie(header(scope, b"cookie") or "").get(django_settings.SESSION_COOKIE_NAME, "")


def visitor_of(ticket: str, session: str, *, host: str, secure: bool) -> Visitor:
    """Who the ticket was given to, if the browser has the same session now. Raises `Refused`."""
    opened = _opened(ticket)
    if not hmac.compare_digest(opened.session, digest(session) if opened.session else ""):
        raise Refused("signed-out")
    return Visitor.of_ticket(opened, host=host, secure=secure)


def token_of(text: str, ticket: Ticket, now: float) -> NodeToken:
    """What a node's token allows whoever has this ticket. ``now``: seconds since 1970. Raises `TokenRefused`, which is counted."""
    try:
        return open_token(text, ticket.audience, now, settings.LIVE_TOKEN_AGE)
    except TokenRefused as error:
        telemetry.TokenRefused(error.why).emit()
        refuse("token", "A token is not valid.")
        raise


def _opened(ticket: str) -> Ticket:
    try:
        return open_ticket(ticket, time.time(), settings.LIVE_TOKEN_AGE)
    except TokenRefused as error:
        telemetry.TokenRefused(error.why).emit()
        raise Refused("reload") from None
