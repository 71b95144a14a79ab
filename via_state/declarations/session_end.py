"""A session's state ends with it: tombstones make sure that an old cookie revives nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.http import HttpRequest

from via_state.core.specs import CellSpec
from via_state.declarations import session_index
from via_state.declarations.definition import Definition
from via_state.declarations.registry import registry
from via_state.declarations.session_id import SESSION_KEY, read_sid, state_ttl
from via_state.exceptions import ViaStateError
from via_state.pod.default import current_pod

logger = logging.getLogger("via_state.sessions")

_FAILED = "The state of a session could not be ended; it stays until it expires."


def end_session_state(sid: str) -> None:
    """Leave tombstones in place of all that the session holds. Logs a failure: it must not prevent a logout."""
    declared = _declared_for_sessions()
    if not declared:
        return
    try:
        pod, ttl = current_pod(), state_ttl(0)
        members = session_index.close(pod, sid, ttl) if _any_family(declared) else []
        for key, spec in _cells(sid, declared, members):
            pod.end(key, replace(spec, ttl=ttl))
    except ViaStateError:
        logger.exception(_FAILED)


async def aend_session_state(sid: str) -> None:
    """`end_session_state`, awaited."""
    declared = _declared_for_sessions()
    if not declared:
        return
    try:
        pod, ttl = current_pod(), state_ttl(0)
        members = await session_index.aclose(pod, sid, ttl) if _any_family(declared) else []
        for key, spec in _cells(sid, declared, members):
            await pod.aend(key, replace(spec, ttl=ttl))
    except ViaStateError:
        logger.exception(_FAILED)


def end_on_logout(*, request: HttpRequest | None = None, **_: Any) -> None:
    """Receiver of ``user_logged_out``, for projects without `SessionStateMiddleware`."""
    session = getattr(request, "session", None)
    if session is None or (sid := read_sid(session)) is None:
        return
    end_session_state(sid)
    del session[SESSION_KEY]


def _declared_for_sessions() -> dict[str, Definition[Any]]:
    """By template. A declaration that can't work holds nothing."""
    found = {}
    for definition in registry.definitions():
        if definition.scope == "session" and definition.problem() is None:
            found[definition.template().text] = definition
    return found


def _any_family(declared: dict[str, Definition[Any]]) -> bool:
    return any(definition.template().family for definition in declared.values())


def _cells(
    sid: str, declared: dict[str, Definition[Any]], members: list[tuple[str, str]]
) -> Iterator[tuple[str, CellSpec[Any]]]:
    for template, definition in declared.items():
        if not definition.template().family:
            yield session_index.state_key(sid, template), definition.built()
    for template, key in members:
        if template in declared:
            yield session_index.state_key(sid, key), declared[template].built()
