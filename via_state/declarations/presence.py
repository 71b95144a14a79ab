"""Who is here: a list that live pages put their visitors on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from via_state.core.presence import Member, Rolls, members
from via_state.core.specs import CellSpec
from via_state.declarations.cell_definition import CellDefinition
from via_state.declarations.handle import Handle
from via_state.declarations.scope import APP
from via_state.pod.attendance import attendance_of
from via_state.pod.pod import Pod


class PresenceDefinition(CellDefinition):
    """Of a list. Its stored form is ours."""

    def copy(self) -> PresenceDefinition:
        return PresenceDefinition(self.kind, self.scope, self.explicit_key, Rolls, dict, 1)


class StatePresence(Handle[CellSpec[Rolls]]):
    """``here = StatePresence(key="room.{room}.here")``: who has a page open that says ``{% via_presence "chat.Chat.here" room=7 %}``.

    It is not written by hand. Somebody who leaves stays for 5 seconds, in which a page may be loaded again, and is away when all of
    their tabs sleep. The people of a process that is killed are gone within about 35 seconds.
    """

    scope = APP
    definition: PresenceDefinition

    def __init__(self, *, key: str | None = None) -> None:
        super().__init__(PresenceDefinition(type(self).__name__, self.scope, key, Rolls, dict, 1))

    def read(self) -> tuple[Member, ...]:
        """All who are here, who came first first."""
        pod, key, spec = self._where()
        return here(pod, key, spec, pod.get(key, spec))

    async def aread(self) -> tuple[Member, ...]:
        """`read`, awaited."""
        pod, key, spec = self._where()
        return here(pod, key, spec, await pod.aget(key, spec))

    async def changes(self) -> AsyncGenerator[tuple[Member, ...], None]:
        """Who is here now, then again after each change; a slow reader misses some in between, never the newest."""
        pod, key, spec = self._where()
        before = None
        async with aclosing(cast(Any, pod.cell_changes(key, spec))) as values:
            async for rolls in values:
                if (now := here(pod, key, spec, rolls)) != before:
                    before = now
                    yield now

    def _where(self) -> tuple[Pod, str, CellSpec[Rolls]]:
        return self._on(), self._one_key(), self.definition.spec()


def here(pod: Pod, key: str, spec: CellSpec[Rolls], rolls: Rolls) -> tuple[Member, ...]:
    """All who are here, by what is stored."""
    attendance = attendance_of(pod)
    attendance.note(key, spec)
    return members(rolls, attendance.gone)
