"""State of one browser session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from via_state.core.specs import LogSpec
from via_state.declarations.handle import Handle
from via_state.declarations.scope import Place, Scope
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
from via_state.pod import members, session_logs
from via_state.pod.session_logs import SESSIONS
from via_state.runtime.loop import refuse_in_event_loop

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

    from via_state.declarations.owners import Owner


class SessionScope(Scope):
    """A session without state has no place until something is written.

    What the session's end has to find is listed at its home: the members of families, and every log.
    """

    name = "session"
    owner = ("session",)
    begin = f"{SESSIONS}{{session}}."

    def place(self, handle: Handle[Any], verb: str, *, writes: bool) -> Place | None:
        owner = _bound(handle)
        refuse_in_event_loop(verb, f"a{verb}")
        key, template = handle._one_key(), handle._usable_template()
        session = _session(handle, owner)
        sid = read_sid(session)
        if sid is None:
            if not writes:
                return None
            sid = mint_sid(_startable(handle, owner, session))
        home, ttl = home_of_session(sid), state_ttl(session.get_expiry_age())
        if writes and (template.family or _is_log(handle)):
            members.remember(handle._on(), home, template.text, key, ttl)
        written = writes or not _is_log(handle) or members.has(handle._on(), home, template.text, key, ttl)
        return Place(f"{home}.{key}", ttl, home, written)

    async def aplace(self, handle: Handle[Any], *, writes: bool) -> Place | None:
        owner = _bound(handle)
        key, template = handle._one_key(), handle._usable_template()
        session = _session(handle, owner)
        sid = await aread_sid(session)
        if sid is None:
            if not writes:
                return None
            sid = await amint_sid(_startable(handle, owner, session))
        home, ttl = home_of_session(sid), state_ttl(await session.aget_expiry_age())
        if writes and (template.family or _is_log(handle)):
            await members.aremember(handle._on(), home, template.text, key, ttl)
        written = writes or not _is_log(handle) or await members.ahas(handle._on(), home, template.text, key, ttl)
        return Place(f"{home}.{key}", ttl, home, written)

    def appended(self, handle: Handle[Any], place: Place) -> None:
        handle._on().thread.call(_confirm(handle, place))

    async def aappended(self, handle: Handle[Any], place: Place) -> None:
        await handle._on().thread.acall(_confirm(handle, place))

    def split(self, key: str) -> tuple[Mapping[str, str], str] | None:
        sid, dot, rest = key.removeprefix(SESSIONS).partition(".")
        return ({"session": sid}, rest) if key.startswith(SESSIONS) and dot else None


SESSION = SessionScope()


async def _confirm(handle: Handle[Any], place: Place) -> None:
    assert place.ttl is not None, "of a session"
    template, key = handle.definition.template().text, handle._one_key()
    await session_logs.confirm(handle._on(), place.home, template, key, place.ttl)


def _is_log(handle: Handle[Any]) -> bool:
    return isinstance(handle.definition.built(), LogSpec)


def _bound(handle: Handle[Any]) -> Owner:
    owner = handle._owner
    if owner is None:
        raise NotBound(
            f"{handle} belongs to a session: say to which. Write {handle.definition.state_name}(request)."
            f"{handle.definition.name}, or pass a WebSocket's scope or a session."
        )
    return owner


def _session(handle: Handle[Any], owner: Owner) -> SessionBase:
    session = owner.session()
    refuse_cookie(session, handle)
    return session


def _startable(handle: Handle[Any], owner: Owner, session: SessionBase) -> SessionBase:
    if not owner.may_start_session:
        raise SessionRequired(
            f"{handle}: nothing was written in this session yet, and a connection that is open already can't set "
            "its cookie. Make the first write from an HTTP request."
        )
    return session
