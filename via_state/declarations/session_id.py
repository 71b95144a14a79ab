"""The random id, kept inside a Django session, under which its state is stored.

It is not the session key: it survives the key's rotation at login, and knowing it opens nothing.
"""

from __future__ import annotations

import logging
import re
import secrets
from contextlib import suppress

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieSession

from via_state.exceptions import SessionRequired
from via_state.pod.session_logs import SESSIONS

logger = logging.getLogger("via_state.sessions")

SESSION_KEY = "_via_sid"

_FORM = re.compile(r"[A-Za-z0-9_-]{16,64}")


def refuse_cookie(session: SessionBase, what: object) -> None:
    """Raise `SessionRequired` for a session that the browser keeps: nobody can take it back, at no logout, login or new password.

    Whoever has an old cookie would read and write what the session holds now.
    """
    if isinstance(session, CookieSession):
        raise SessionRequired(
            f"{what}: sessions in signed cookies can't have state, because an old cookie would open it after a logout, and "
            "after a login or a new password. Set SESSION_ENGINE to one that stores sessions."
        )


def read_sid(session: SessionBase) -> str | None:
    """The id, or None for a session that has no state yet. Creates and changes nothing."""
    return _checked(session.get(SESSION_KEY))


async def aread_sid(session: SessionBase) -> str | None:
    """`read_sid` by the session's own async methods."""
    return _checked(await session.aget(SESSION_KEY))


def home_of_session(sid: str) -> str:
    """Where the state of a session is stored."""
    return SESSIONS + sid


def mint_sid(session: SessionBase) -> str:
    """Give the session an id, which its next save keeps.

    A session that is stored already gets it at once: two first requests in parallel then find one another's, and a
    response that fails, whose changes to the session Django drops, does not lose what was written.
    """
    sid = _new()
    if session.session_key and session.exists(session.session_key):
        stored = session.__class__(session.session_key)  # not type(): a session may be lazy
        sid = read_sid(stored) or sid
        stored[SESSION_KEY] = sid
        if stored.session_key == session.session_key:  # it has not just expired
            with suppress(UpdateError):  # nor just been deleted
                stored.save()
    session[SESSION_KEY] = sid
    return sid


async def amint_sid(session: SessionBase) -> str:
    """`mint_sid` by the session's own async methods."""
    sid = _new()
    if session.session_key and await session.aexists(session.session_key):
        stored = session.__class__(session.session_key)  # not type(): a session may be lazy
        sid = await aread_sid(stored) or sid
        await stored.aset(SESSION_KEY, sid)
        if stored.session_key == session.session_key:
            with suppress(UpdateError):
                await stored.asave()
    await session.aset(SESSION_KEY, sid)
    return sid


def state_ttl(expiry_age: float) -> float:
    """Seconds that session state outlives its last use: at least as long as the session may."""
    return float(max(expiry_age, settings.SESSION_COOKIE_AGE, 1))


def _checked(value: object) -> str | None:
    return value if isinstance(value, str) and _FORM.fullmatch(value) else None


def _new() -> str:
    return secrets.token_urlsafe(16)


class Flushes:
    """The ids that a session loses when it is flushed during a request, and the keys that it loses then, and at a login.

    It stands in for the session's own ``flush``, because asking every session for its id would load it: a query, and a
    ``Vary: Cookie`` on pages that have nothing to do with sessions.
    """

    def __init__(self, session: SessionBase) -> None:
        self.sids: list[str] = []
        self.keys: list[str] = []
        self._session = session
        self._flush, self._aflush = session.flush, session.aflush
        self._cycle_key, self._acycle_key = session.cycle_key, session.acycle_key
        session.flush, session.aflush = self.flush, self.aflush  # type: ignore[method-assign]
        session.cycle_key, session.acycle_key = self.cycle_key, self.acycle_key  # type: ignore[method-assign]

    @classmethod
    def watch(cls, session: SessionBase) -> bool:
        """Whether a session is watched."""
        return isinstance(getattr(session.flush, "__self__", None), cls)

    def flush(self) -> None:
        """Note the id, then flush, which nothing here may prevent."""
        try:
            self._note(read_sid(self._session))
        except Exception:
            logger.exception(_UNREAD)
        self._flush()

    async def aflush(self) -> None:
        """`flush`, awaited."""
        try:
            self._note(await aread_sid(self._session))
        except Exception:
            logger.exception(_UNREAD)
        await self._aflush()

    def cycle_key(self) -> None:
        """Note the key, then take another one."""
        self._note(None)
        self._cycle_key()

    async def acycle_key(self) -> None:
        """`cycle_key`, awaited."""
        self._note(None)
        await self._acycle_key()

    def _note(self, sid: str | None) -> None:
        if sid is not None:
            self.sids.append(sid)
        if self._session.session_key:
            self.keys.append(self._session.session_key)


_UNREAD = "A session that is flushed could not be read; its state stays until it expires."
