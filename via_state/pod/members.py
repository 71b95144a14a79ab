"""Which members of families an owner has written: needed to find them all when the owner goes.

A ``home`` is where everything of one session or user is stored: the keys that begin with it and a dot. The list is kept under
the home itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from via_state.core.cells import CellCodec
from via_state.core.records import Cell
from via_state.core.specs import CellSpec
from via_state.exceptions import SessionEnded

if TYPE_CHECKING:
    from via_state.pod.pod import Pod


@dataclass(frozen=True)
class Members:
    """``members`` are pairs of a template and a key of it. An ended list takes no more of them."""

    members: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False

    def including(self, template: str, key: str) -> Members:
        """With one more member. Raises `SessionEnded`."""
        if self.ended:
            raise SessionEnded("The session was ended by a logout. Bind to the new session.")
        return replace(self, members=sorted({*self.members, (template, key)}))

    def closed(self) -> Members:
        """Ended, with the members it had."""
        return replace(self, ended=True)


_CODEC: CellCodec[Members] = CellCodec(Members)


def spec_of(ttl: float | None) -> CellSpec[Members]:
    """How a list is stored, for ``ttl`` seconds after its last use; None for ever."""
    return CellSpec("via.members", _CODEC, Members, family=True, ttl=ttl)


def remember(pod: Pod, home: str, template: str, key: str, ttl: float | None) -> None:
    """Before a member's first write. Costs a look at this pod's copy when the member is known."""
    if (template, key) not in pod.get(home, spec_of(ttl)).members:
        pod.update(home, spec_of(ttl), lambda old: old.including(template, key))


async def aremember(pod: Pod, home: str, template: str, key: str, ttl: float | None) -> None:
    """`remember`, awaited."""
    if (template, key) not in (await pod.aget(home, spec_of(ttl))).members:
        await pod.aupdate(home, spec_of(ttl), lambda old: old.including(template, key))


def members_in(stored: Cell | None) -> list[str]:
    """The keys in a list as it is stored. Raises `CellUnreadable`."""
    if stored is None or (state := _CODEC.decode(stored.data)).ended:
        return []
    return [key for _, key in state.value.members]


async def aclose(pod: Pod, home: str, ttl: float) -> list[tuple[str, str]]:
    """Take no more members; returns those there are."""
    return (await pod.aupdate(home, spec_of(ttl), Members.closed)).members
