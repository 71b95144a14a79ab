"""Which members of families a session has written: needed to end them all when the session ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from via_state.core.cells import CellCodec
from via_state.core.specs import CellSpec
from via_state.exceptions import SessionEnded
from via_state.pod.pod import Pod


@dataclass(frozen=True)
class SessionIndex:
    """``members`` are pairs of a template and a key of it. An ended one takes no more of them."""

    members: list[tuple[str, str]] = field(default_factory=list)
    ended: bool = False

    def including(self, template: str, key: str) -> SessionIndex:
        """With one more member. Raises `SessionEnded`."""
        if self.ended:
            raise SessionEnded("The session was ended by a logout. Bind to the new session.")
        return replace(self, members=sorted({*self.members, (template, key)}))

    def closed(self) -> SessionIndex:
        """Ended, with the members it had."""
        return replace(self, ended=True)


_SPEC: CellSpec[SessionIndex] = CellSpec("via.sess", CellCodec(SessionIndex), SessionIndex, family=True)


def state_key(sid: str, key: str) -> str:
    """Where a session's state is stored."""
    return f"via.sess.{sid}.{key}"


def remember(pod: Pod, sid: str, template: str, key: str, ttl: float) -> None:
    """Before a member's first write. Costs a look at this pod's copy when the member is known."""
    index = _index(sid), replace(_SPEC, ttl=ttl)
    if (template, key) not in pod.get(*index).members:
        pod.update(*index, lambda old: old.including(template, key))


async def aremember(pod: Pod, sid: str, template: str, key: str, ttl: float) -> None:
    """`remember`, awaited."""
    index = _index(sid), replace(_SPEC, ttl=ttl)
    if (template, key) not in (await pod.aget(*index)).members:
        await pod.aupdate(*index, lambda old: old.including(template, key))


def close(pod: Pod, sid: str, ttl: float) -> list[tuple[str, str]]:
    """Take no more members; returns those there are."""
    return pod.update(_index(sid), replace(_SPEC, ttl=ttl), SessionIndex.closed).members


async def aclose(pod: Pod, sid: str, ttl: float) -> list[tuple[str, str]]:
    """`close`, awaited."""
    return (await pod.aupdate(_index(sid), replace(_SPEC, ttl=ttl), SessionIndex.closed)).members


def _index(sid: str) -> str:
    return f"via.sess.{sid}"
