"""The end of a session's state: when a logout or ``flush`` ends the session, its values end too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.sessions.backends.base import SessionBase

from via_state.declarations.cells import Place
from via_state.declarations.owners import SESSION_ID
from via_state.declarations.registry import registry
from via_state.declarations.session import StateSess
from via_state.pod.default import current_pod


def session_id_of(session: SessionBase | None) -> str | None:
    """The id of a session's state, if the session has any."""
    return None if session is None else session.get(SESSION_ID)


def _places(session_id: str) -> Iterator[Place[Any]]:
    for declaration in registry.declarations():
        if isinstance(declaration, StateSess) and not declaration.family:
            yield declaration.at_session(session_id)


def end_session(session_id: str) -> None:
    """Leave tombstones, so that an old cookie revives nothing."""
    for place in _places(session_id):
        current_pod().end(*place)


async def aend_session(session_id: str) -> None:
    """`end_session`, awaited."""
    for place in _places(session_id):
        await current_pod().aend(*place)
