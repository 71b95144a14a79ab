"""Which members of families an owner has written: needed to find them all when the owner goes.

A ``home`` is where everything of one session or user is stored: the keys that begin with it and a dot. The list is kept under
the home itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from via_state.backplanes.base import Backplane
from via_state.core.cells import CellCodec, Holds
from via_state.core.records import Cell
from via_state.core.specs import CellSpec
from via_state.exceptions import SessionEnded

if TYPE_CHECKING:
    from via_state.pod.pod import Pod


#: Members that are listed, for each new one writes the whole list: what that costs is bounded by this.
MOST = 100


@dataclass(frozen=True)
class Members:
    """``members`` are pairs of a template and a key of it; ``more`` says that there are others, which are looked for when they
    are needed. An ended list takes no more of them.
    """

    members: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False
    more: bool = False

    def knows(self, template: str, key: str) -> bool:
        """Whether a write of this member changes nothing here. Raises `SessionEnded`."""
        if self.ended:
            raise SessionEnded("The session was ended by a logout. Bind to the new session.")
        return self.more or (template, key) in self.members

    def has(self, template: str, key: str) -> bool:
        """Whether there may be state under this key."""
        return not self.ended and (self.more or (template, key) in self.members)

    def including(self, template: str, key: str) -> Members:
        """With one more member. Raises `SessionEnded`."""
        if self.knows(template, key):
            return self
        if len(self.members) >= MOST:
            return replace(self, more=True)
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
    if not pod.get(home, spec_of(ttl)).knows(template, key):
        pod.update(home, spec_of(ttl), lambda old: old.including(template, key))


async def aremember(pod: Pod, home: str, template: str, key: str, ttl: float | None) -> None:
    """`remember`, awaited."""
    if not (await pod.aget(home, spec_of(ttl))).knows(template, key):
        await pod.aupdate(home, spec_of(ttl), lambda old: old.including(template, key))


def has(pod: Pod, home: str, template: str, key: str, ttl: float | None) -> bool:
    """Whether the list of an owner, who has not gone, has this key, as this pod knows. It counts as use."""
    return pod.get(home, spec_of(ttl)).has(template, key)


async def ahas(pod: Pod, home: str, template: str, key: str, ttl: float | None) -> bool:
    """`has`, awaited."""
    return (await pod.aget(home, spec_of(ttl))).has(template, key)


class HomeStatus(Enum):
    """What a home says about its owner."""

    LIVES = "lives"
    ENDED = "ended"
    GONE = "gone"  # it was forgotten, or has expired, or never was


async def statuses(backplane: Backplane, homes: Iterable[str]) -> dict[str, HomeStatus]:
    """As the backplane has them now. Raises `CellUnreadable`."""
    wanted = list(homes)
    stored = await backplane.load_many(wanted) if wanted else {}
    return {home: _status(stored.get(home)) for home in wanted}


async def status(backplane: Backplane, home: str) -> HomeStatus:
    """`statuses` of one."""
    return _status(await backplane.load(home))


def _status(stored: Cell | None) -> HomeStatus:
    if stored is None or (state := _CODEC.decode(stored.data)).holds is not Holds.VALUE:
        return HomeStatus.GONE
    return HomeStatus.ENDED if state.value.ended else HomeStatus.LIVES


async def written(backplane: Backplane, home: str) -> list[str]:
    """The keys of the members that an owner wrote. Raises `CellUnreadable`."""
    stored = await backplane.load(home)
    if stored is None or (state := _CODEC.decode(stored.data)).holds is not Holds.VALUE:
        return []
    return await _keys(backplane, home, state.value)


async def aclose(pod: Pod, home: str, ttl: float) -> list[str]:
    """Take no more members; returns the keys of those there are."""
    closed = await pod.aupdate(home, spec_of(ttl), Members.closed)
    return await _keys(pod.backplane, home, closed)


async def _keys(backplane: Backplane, home: str, listed: Members) -> list[str]:
    if not listed.more:
        return [key for _, key in listed.members]
    begin, found, after = f"{home}.", list[str](), ""
    while cells := await backplane.cells(after, begin=begin):
        found += cells
        after = found[-1]
    after = ""
    while logs := await backplane.logs(after, begin=begin):
        found += logs
        after = found[-1]
    return [key.removeprefix(begin) for key in found]
