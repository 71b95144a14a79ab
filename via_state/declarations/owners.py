"""Whose session or user state it is: found in a request, a scope, a session or a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from via_state.exceptions import NotBound, SessionRequired, UserRequired

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    User: TypeAlias = AbstractBaseUser | AnonymousUser
    OwnerSource: TypeAlias = HttpRequest | Mapping[str, Any] | SessionBase | User


class Owner:
    """What a `State` class was bound to. This base has neither a session nor a user."""

    #: Whether a new session would reach the browser as a cookie.
    may_start_session = False

    def session(self) -> SessionBase:
        """The session, which may still be empty. Raises `SessionRequired`."""
        raise SessionRequired(
            "A user has no session of its own. Bind to the request, a scope or a session instead."
        )

    def user(self) -> User:
        """The user, who may be anonymous. May query the database. Raises `UserRequired`."""
        raise UserRequired(
            "A session alone does not say whose it is. Bind to the request, a scope or a user instead."
        )

    async def auser(self) -> User:
        """`user`, awaited."""
        return self.user()


class RequestOwner(Owner):
    """The visitor of an HTTP request."""

    may_start_session = True

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def session(self) -> SessionBase:
        session: SessionBase | None = getattr(self._request, "session", None)
        if session is None:
            raise SessionRequired(
                "The request has no session. Add 'django.contrib.sessions.middleware.SessionMiddleware' to MIDDLEWARE."
            )
        return session

    def user(self) -> User:
        if not hasattr(self._request, "user"):
            raise UserRequired(
                "The request has no user. Add 'django.contrib.auth.middleware.AuthenticationMiddleware' to MIDDLEWARE."
            )
        return self._request.user

    async def auser(self) -> User:
        # Logins, logouts and tests assign the user itself; until then request.user is lazy and would query here.
        assigned = vars(self._request).get("user")
        if assigned is not None and not isinstance(assigned, LazyObject):
            return cast("User", assigned)
        if hasattr(self._request, "auser"):
            return cast("User", await self._request.auser())
        return await _loaded(self.user())


class ScopeOwner(Owner):
    """The visitor behind an ASGI connection. Its cookies are set already, so it never starts a session."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope

    def session(self) -> SessionBase:
        return cast(SessionBase, self._part("session", SessionRequired, "SessionMiddlewareStack"))

    def user(self) -> User:
        return cast("User", self._part("user", UserRequired, "AuthMiddlewareStack"))

    def _part(self, name: str, error: type[Exception], stack: str) -> object:
        if name not in self._scope:
            raise error(f"The scope has no {name}. Wrap the ASGI application in Channels' {stack}.")
        return self._scope[name]


class SessionOwner(Owner):
    """A session that somebody else saves."""

    may_start_session = True

    def __init__(self, session: SessionBase) -> None:
        self._session = session

    def session(self) -> SessionBase:
        return self._session


class UserOwner(Owner):
    """A user, wherever they came from."""

    def __init__(self, user: User) -> None:
        self._user = user

    def user(self) -> User:
        return self._user

    async def auser(self) -> User:
        return await _loaded(self._user)


async def _loaded(user: User) -> User:
    """A lazy ``request.user`` queries the database on its first use, which an event loop forbids."""
    if isinstance(user, LazyObject) and user._wrapped is empty:
        await sync_to_async(bool)(user)
    return user


def owner_of(source: object, name: str) -> Owner:
    """What ``Feed(source)`` is bound to; ``name`` is the class's, for the message. Raises `NotBound`."""
    kind = type(source)
    if isinstance(source, LazyObject):
        if source._wrapped is empty:  # request.user before its first use, which must not happen here
            return UserOwner(cast("User", source))
        kind = type(source._wrapped)
        if issubclass(kind, SessionBase):  # as Channels puts it into a scope
            return ScopeOwner({"session": source})
    if issubclass(kind, Mapping):
        return ScopeOwner(cast("Mapping[str, Any]", source))
    if issubclass(kind, SessionBase):
        return SessionOwner(cast(SessionBase, source))
    if issubclass(kind, HttpRequest) or hasattr(source, "META"):  # Django REST framework wraps the request
        return RequestOwner(cast(HttpRequest, source))
    if hasattr(kind, "is_authenticated"):
        return UserOwner(cast("User", source))
    raise NotBound(
        f"{name}({source!r:.100}) has no owner. Pass the request, a WebSocket's scope, a session or a user."
    )
