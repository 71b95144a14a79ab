"""Whether the visitors of tabs are still signed in as they were when their pages were opened: asked for all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone

from via_state.live.visitors.tokens import Ticket, digest


class Login(NamedTuple):
    """The session that a tab came with, and who its ticket says that it is."""

    session: str
    user: str
    login: str

    @classmethod
    def of(cls, ticket: Ticket, session: str) -> Login:
        """``session`` is the key itself; the ticket has a digest of it, or nothing where the page needed none."""
        return cls(session if ticket.session else "", ticket.user, ticket.login)


def over(logins: Collection[Login]) -> set[Login]:
    """Those that are over: the session is gone or somebody else's, the user is gone, not active, or has another password.

    Two queries; more where the engine keeps no sessions in a table. Raises what the database raises.
    """
    sessions = _sessions({one.session for one in logins if one.session})
    users = _users({one.user for one in logins if one.user})
    return {one for one in logins if not _holds(one, sessions, users)}


def user_of(ticket: Ticket) -> Any:
    """The user of a page as the database has it now, by one query: nobody where `over` would say that the login is."""
    from django.contrib.auth.models import AnonymousUser

    user = _users({ticket.user}).get(ticket.user) if ticket.user else None
    return user if user is not None and _may(user, ticket.login) else AnonymousUser()


def _may(user: Any, login: str) -> bool:
    return bool(getattr(user, "is_active", True)) and login in _hashes(user)


def _holds(one: Login, sessions: Mapping[str, Mapping[str, Any]], users: Mapping[str, Any]) -> bool:
    if one.session:
        session = sessions.get(one.session)
        if session is None or str(session.get(SESSION_KEY, "")) != one.user:
            return False
    if not one.user:
        return True
    user = users.get(one.user)
    return user is not None and _may(user, one.login)


def _hashes(user: Any) -> Iterable[str]:
    """Digests of all that a session of this user may hold."""
    if not hasattr(user, "get_session_auth_hash"):
        return [""]
    return [
        digest(user.get_session_auth_hash()),
        *map(digest, getattr(user, "get_session_auth_fallback_hash", list)()),
    ]


def _sessions(keys: set[str]) -> dict[str, Mapping[str, Any]]:
    if not keys:
        return {}
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    if hasattr(store, "get_model_class"):
        rows = store.get_model_class().objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
        return {row.session_key: row.get_decoded() for row in rows}
    found = {}
    for key in keys:
        session = store(key)
        data = session.load()
        if session.session_key == key:
            found[key] = data
    return found


def _users(keys: set[str]) -> dict[str, Any]:
    if not keys:
        return {}
    model = get_user_model()
    pks = []
    for key in keys:
        try:
            pks.append(model._meta.pk.to_python(key))
        except ValidationError:
            continue
    return {model._meta.pk.value_to_string(user): user for user in model._default_manager.filter(pk__in=pks)}
