"""Whose state it is: from a request, a WebSocket's scope, a session or a user to a session id or a user's key."""

from __future__ import annotations

import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from via_state.declarations.keys import Parameter
from via_state.exceptions import NotBound, SessionRequired, UserRequired

#: Where a session keeps the random id of its state. It survives the login's key rotation and dies with ``flush``; it
#: opens nothing by itself, so it may stand in keys and logs.
SESSION_ID = "_via_sid"

_ALPHABET = string.ascii_letters + string.digits


def new_session_id() -> str:
    """22 random letters and digits: 131 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(22))


class Owner:
    """A visitor. ``may_mint``: a session may still get its id here, because a cookie can be set."""

    def __init__(
        self,
        session: SessionBase | None = None,
        user: Callable[[], Any] | None = None,
        auser: Callable[[], Awaitable[Any]] | None = None,
        *,
        may_mint: bool = True,
    ) -> None:
        self._session, self._user, self._auser, self._may_mint = session, user, auser, may_mint

    @classmethod
    def of(cls, value: object) -> Owner:
        """The owner that a request, a scope, a session or a user stands for."""
        if isinstance(value, HttpRequest):
            user = (lambda: value.user) if hasattr(value, "user") else None
            return cls(getattr(value, "session", None), user, getattr(value, "auser", None))
        if isinstance(value, Mapping):
            user = (lambda: value["user"]) if "user" in value else None
            return cls(value.get("session"), user, may_mint=False)
        if isinstance(value, SessionBase):
            return cls(value)
        if hasattr(value, "is_authenticated") and hasattr(value, "pk"):
            return cls(None, lambda: value)
        raise NotBound(
            f"State can't be bound to {value!r:.60}. Pass a request, a WebSocket's scope, a session or a user."
        )

    # Sessions ---------------------------------------------------------------------------------------------

    def session_id(self, *, mint: bool) -> str | None:
        """The session's id; None when it has none. With ``mint`` it gets one, or `SessionRequired` is raised."""
        found = None if self._session is None else self._session.get(SESSION_ID)
        if found is None and mint:
            session, found = self._mintable(), new_session_id()
            session[SESSION_ID] = found
        return found

    async def asession_id(self, *, mint: bool) -> str | None:
        """`session_id`, through the session's async API."""
        found = None if self._session is None else await self._session.aget(SESSION_ID)
        if found is None and mint:
            session, found = self._mintable(), new_session_id()
            await session.aset(SESSION_ID, found)
        return found

    def _mintable(self) -> SessionBase:
        if self._session is None:
            raise SessionRequired(
                "There is no session to keep this value in. Add django.contrib.sessions.middleware.SessionMiddleware, "
                "or for a WebSocket channels.sessions.SessionMiddlewareStack."
            )
        if not self._may_mint:
            raise SessionRequired(
                "This session has no state yet, and a WebSocket can't set the cookie that it needs. "
                "Make the first write from an HTTP request."
            )
        return self._session

    def session_age(self) -> float:
        """Seconds after which the session would expire."""
        return float(self._session.get_expiry_age()) if self._session is not None else 0.0

    async def asession_age(self) -> float:
        """`session_age`, through the session's async API."""
        return float(await self._session.aget_expiry_age()) if self._session is not None else 0.0

    # Users ------------------------------------------------------------------------------------------------

    def user_pk(self) -> Parameter | None:
        """The signed-in user's primary key; None for an anonymous visitor."""
        return self._pk(None if self._user is None else self._user())

    async def auser_pk(self) -> Parameter | None:
        """`user_pk`, without touching the database in an event loop."""
        if self._auser is not None:
            return self._pk(await self._auser())
        return self._pk(None if self._user is None else self._user())

    def _pk(self, user: Any) -> Parameter | None:
        if user is None:
            raise UserRequired(
                "There is no user here. Add django.contrib.auth.middleware.AuthenticationMiddleware, "
                "or for a WebSocket channels.auth.AuthMiddlewareStack; or pass the user itself."
            )
        pk: Parameter | None = user.pk if user.is_authenticated else None
        return pk
