"""`StateSess`: one value per browser session."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from django.conf import settings

from via_state.declarations.cells import CellDeclaration, Place
from via_state.declarations.keys import session_key

T = TypeVar("T")


class StateSess(CellDeclaration[T]):
    """``profile = StateSess(Profile)``: one current value per Django session, the same in all its tabs and pods.

    Bind it: ``Feed(request).profile.read()``. It survives the login's key rotation and ends with ``flush`` (a logout).
    Reading never creates a session. A value that is not used for as long as its session may live expires.
    """

    kind = "session value"

    @property
    def shared_declaration(self) -> bool:
        return True

    def _place(self, *, write: bool) -> Place[T] | None:
        owner = self._bound_owner()
        session_id = owner.session_id(mint=write)
        return None if session_id is None else self.at_session(session_id, owner.session_age())

    async def _aplace(self, *, write: bool) -> Place[T] | None:
        owner = self._bound_owner()
        session_id = await owner.asession_id(mint=write)
        return None if session_id is None else self.at_session(session_id, await owner.asession_age())

    def at_session(self, session_id: str, age: float = 0.0) -> Place[T]:
        """Where the value of a session is stored: ``session_id`` is what the session keeps under ``_via_sid``, ``age``
        the seconds it may still live.
        """
        ttl = max(age, float(settings.SESSION_COOKIE_AGE))
        return Place(session_key(session_id, self.key), dataclasses.replace(self.spec, ttl=ttl))
