"""One value per browser session."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from django.contrib.sessions.backends.base import SessionBase

from via_state.declarations.cell import Address, Cell
from via_state.declarations.owners import Owner
from via_state.declarations.session_id import (
    amint_sid,
    aread_sid,
    home_of_session,
    mint_sid,
    read_sid,
    refuse_cookie,
    state_ttl,
)
from via_state.exceptions import NotBound, SessionRequired
from via_state.pod import members
from via_state.runtime.loop import refuse_in_event_loop

T = TypeVar("T")


class StateSess(Cell[T], Generic[T]):
    """``profile = StateSess(Profile)``: used as ``Feed(request).profile``.

    It survives the rotation of the session's key at login, and ends when the session is flushed, as a logout does.
    Reading never creates a session. The first write does, so it needs an HTTP request: elsewhere it raises
    `SessionRequired`. So does every verb where sessions are kept in signed cookies, which can't be taken back.
    """

    scope: ClassVar[str] = "session"

    def _address(self, verb: str, *, writes: bool) -> Address[T] | None:
        owner = self._bound()
        refuse_in_event_loop(verb, f"a{verb}")
        key, spec = self._one_key(), self.definition.spec()
        session = self._session(owner)
        sid = read_sid(session)
        if sid is None:
            if not writes:
                return None
            sid = mint_sid(self._startable(owner, session))
        ttl = state_ttl(session.get_expiry_age())
        if writes and self._member is not None:
            members.remember(self._on(), home_of_session(sid), spec.name, key, ttl)
        return Address(f"{home_of_session(sid)}.{key}", replace(spec, ttl=ttl))

    async def _aaddress(self, *, writes: bool) -> Address[T] | None:
        owner = self._bound()
        key, spec = self._one_key(), self.definition.spec()
        session = self._session(owner)
        sid = await aread_sid(session)
        if sid is None:
            if not writes:
                return None
            sid = await amint_sid(self._startable(owner, session))
        ttl = state_ttl(await session.aget_expiry_age())
        if writes and self._member is not None:
            await members.aremember(self._on(), home_of_session(sid), spec.name, key, ttl)
        return Address(f"{home_of_session(sid)}.{key}", replace(spec, ttl=ttl))

    def _bound(self) -> Owner:
        if self._owner is None:
            name = self.definition.name
            raise NotBound(
                f"{self} belongs to a session: say to which. Write {self.definition.state_name}(request).{name}, "
                "or pass a WebSocket's scope or a session."
            )
        return self._owner

    def _session(self, owner: Owner) -> SessionBase:
        session = owner.session()
        refuse_cookie(session, self)
        return session

    def _startable(self, owner: Owner, session: SessionBase) -> SessionBase:
        if not owner.may_start_session:
            raise SessionRequired(
                f"{self}: nothing was written in this session yet, and a connection that is open already can't set "
                "its cookie. Make the first write from an HTTP request."
            )
        return session
