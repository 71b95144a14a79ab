"""What we listen to in Django."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.http import HttpRequest

from via_state.sessions import end_session, session_id_of


@receiver(user_logged_out, dispatch_uid="via_state.logged_out")
def end_state_of_session(request: HttpRequest, **_: Any) -> None:
    """A logout flushes the session: its state ends with it, also where the middleware is not installed."""
    session_id = session_id_of(getattr(request, "session", None))
    if session_id is not None:
        end_session(session_id)
