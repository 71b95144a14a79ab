"""Whose session or user state it is: found in a request, a scope, a session or a user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from via_state.declarations.initial import MISSING
from via_state.declarations.session_id import SESSION_KEY
from via_state.exceptions import NotBound, SessionRequired, UserRequired

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

    User: TypeAlias = AbstractBaseUser | AnonymousUser
    OwnerSource: TypeAlias = HttpRequest | Mapping[str, Any] | SessionBase | User | "Owned"


class Owner:
    """What a `State` class was bound to. This base has neither a session nor a user."""

    #: Whether a new session would reach the browser as a cookie.
    may_start_session = False

    def session(self) -> SessionBase:
        """The session, which may still be empty. Raises `SessionRequired`."""
        raise SessionRequired(
            "A user has no session of its own. Bind to the request, a scope or a session instead."
        )

    def user(self) -> User | None:
        """The user, who may be anonymous, or None as some authentications say it. May query the database.

        Raises `UserRequired`.
        """
        return _unwrapped(self._user_now())

    async def auser(self) -> User | None:
        """`user`, awaited: the very same one, whatever that takes."""
        user = self._user_now()
        return await sync_to_async(_unwrapped)(user) if _pending(user) else _unwrapped(user)

    def _user_now(self) -> object:
        """The user as it is, perhaps lazy."""
        raise UserRequired(
            "A session alone does not say whose it is. Bind to the request, a scope or a user instead."
        )


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

    # What was assigned counts, and not what the session says: a token, a login or a test may have assigned another one.

    def user(self) -> User | None:
        user = self._assigned()
        return async_to_sync(self._only_async)() if user is MISSING else user

    async def auser(self) -> User | None:
        user = vars(self._request).get("user")
        if user is not None and not _pending(user):
            return _unwrapped(user)
        # Finding it may query: a lazy user does, and so does the property of a request that Django REST framework wrapped.
        user = await sync_to_async(self._assigned)()
        return await self._only_async() if user is MISSING else user

    def _assigned(self) -> User | None:
        return _unwrapped(getattr(self._request, "user", MISSING))

    async def _only_async(self) -> User | None:
        if not hasattr(self._request, "auser"):
            raise UserRequired(
                "The request has no user. Add 'django.contrib.auth.middleware.AuthenticationMiddleware' to MIDDLEWARE."
            )
        return _unwrapped(await self._request.auser())


class ScopeOwner(Owner):
    """The visitor of an ASGI connection. Its cookies are set already, so it never starts a session."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope

    def session(self) -> SessionBase:
        return cast(SessionBase, self._part("session", SessionRequired, "SessionMiddlewareStack"))

    def _user_now(self) -> object:
        return self._part("user", UserRequired, "AuthMiddlewareStack")

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

    def _user_now(self) -> object:
        return self._user


class KnownOwner(Owner):
    """Somebody of whom no request is left: the id of their session's state, empty where there is none, and a user."""

    def __init__(self, sid: str, user: User) -> None:
        self._sid, self._user = sid, user

    def session(self) -> SessionBase:
        session = SessionBase()
        session._session_cache = {SESSION_KEY: self._sid} if self._sid else {}  # type: ignore[attr-defined]  # never loaded, never saved
        return session

    def _user_now(self) -> object:
        return self._user


class Owned(ABC):
    """What says itself who its owner is: a class may be bound to it."""

    @abstractmethod
    def state_owner(self) -> Owner:
        """Whose session and user state it means."""


def _pending(user: object) -> bool:
    """Whether it is lazy and was not used yet: its first use may query the database, which an event loop forbids."""
    while isinstance(user, LazyObject):
        if user._wrapped is empty:
            return True
        user = user._wrapped
    return False


def _unwrapped(user: object) -> User | None:
    """What a lazy user stands for. May query the database."""
    while isinstance(user, LazyObject):
        if user._wrapped is empty:
            user._setup()
        user = user._wrapped
    return cast("User | None", user)


def owner_of(source: object, name: str) -> Owner:
    """What ``Feed(source)`` is bound to; ``name`` is the class's, for the message. Raises `NotBound`."""
    kind = type(source)
    if issubclass(kind, Owned):  # not isinstance, which loads a lazy user
        return cast(Owned, source).state_owner()
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
    if issubclass(kind, HttpRequest):
        return RequestOwner(cast(HttpRequest, source))
    if hasattr(kind, "is_authenticated"):  # asked first: a token's user answers to every name
        return UserOwner(cast("User", source))
    if hasattr(source, "META"):  # Django REST framework wraps the request
        return RequestOwner(cast(HttpRequest, source))
    raise NotBound(
        f"{name}({source!r:.100}) has no owner. Pass the request, a WebSocket's scope, a session or a user."
    )
