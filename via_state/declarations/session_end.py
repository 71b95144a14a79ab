"""A session's state ends with it: tombstones make sure that an old cookie revives nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.http import HttpRequest

from via_state.core.specs import CellSpec
from via_state.declarations import session_index
from via_state.declarations.registry import registry
from via_state.declarations.session_id import SESSION_KEY, read_sid, state_ttl
from via_state.exceptions import DeclarationError, ViaStateError
from via_state.pod.default import current_pod

logger = logging.getLogger("via_state.sessions")

_FAILED = "The state of a session could not be ended; it stays until it expires."


def end_session_state(sid: str) -> None:
    """Leave tombstones in place of all that the session holds. Logs a failure: it must not prevent a logout."""
    specs = _session_specs()
    if not specs:
        return
    try:
        pod, ttl = current_pod(), state_ttl(0)
        members = session_index.close(pod, sid, ttl) if _families(specs) else []
        for key, spec in _cells(sid, specs, members):
            pod.end(key, replace(spec, ttl=ttl))
    except ViaStateError:
        logger.exception(_FAILED)


async def aend_session_state(sid: str) -> None:
    """`end_session_state`, awaited."""
    specs = _session_specs()
    if not specs:
        return
    try:
        pod, ttl = current_pod(), state_ttl(0)
        members = await session_index.aclose(pod, sid, ttl) if _families(specs) else []
        for key, spec in _cells(sid, specs, members):
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


def _session_specs() -> dict[str, CellSpec[Any]]:
    """What is declared for sessions, by template; a faulty declaration holds nothing."""
    specs = {}
    for definition in registry.definitions():
        if definition.scope == "session":
            try:
                spec = definition.spec()
            except DeclarationError:
                continue
            specs[spec.name] = spec
    return specs


def _families(specs: dict[str, CellSpec[Any]]) -> bool:
    return any("{" in template for template in specs)


def _cells(
    sid: str, specs: dict[str, CellSpec[Any]], members: list[tuple[str, str]]
) -> Iterator[tuple[str, CellSpec[Any]]]:
    for template, spec in specs.items():
        if "{" not in template:
            yield session_index.session_key(sid, template), spec
    for template, key in members:
        if template in specs:
            yield session_index.session_key(sid, key), specs[template]
