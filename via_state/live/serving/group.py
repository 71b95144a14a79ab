"""All tabs of a hub that see exactly the same in one node: it is rendered once for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from via_state import telemetry
from via_state.conf import settings
from via_state.exceptions import ViaStateError
from via_state.live.protocol.content import Content, Gone
from via_state.live.protocol.delta import difference
from via_state.live.protocol.frames import (
    Frame,
    Why,
    delta_frame,
    frames_line,
    same_frame,
)
from via_state.live.protocol.pacing import Pacing
from via_state.live.protocol.vector import Order, Vector, compare
from via_state.live.rendering.renderer import arender, code_of
from via_state.live.serving.painted import Painted
from via_state.live.serving.watch import Watch
from via_state.pod.default import using_pod
from via_state.runtime.single_flight import Hold, Rest, SingleFlight

if TYPE_CHECKING:
    from via_state.live.protocol.node import NodeSpec
    from via_state.live.serving.hub import Hub
    from via_state.live.serving.seat import Seat
    from via_state.live.visitors.visitor import Visitor

logger = logging.getLogger("via_state.live")

#: Seconds after which a tab that shows more than this pod can prove is looked at again.
PROVE_AGAIN = 5.0


class Group:
    """On its hub's event loop. Two things happen to it, each one at a time: tabs come, and the state changes. Its attributes are what both
    of them look at."""

    def __init__(self, hub: Hub, key: tuple[str, ...], spec: NodeSpec, visitor: Visitor) -> None:
        """``key`` is the same for all who see the same, ``visitor`` one of them."""
        self.hub, self.key, self.spec, self.id = hub, key, spec, spec.id
        self.seats: dict[Seat, None] = {}
        self._visitor = visitor
        self._watch = Watch(hub.pod, self.rang)
        self._pacing = Pacing(settings.LIVE_FRAMES)
        self._arriving: dict[Seat, None] = {}
        self._reception = SingleFlight(self._name, self._receive, kind="live")
        self._painter = SingleFlight(self._name, self._paint, kind="live")
        self.painted: Painted | None = None
        self._base: Painted | None = None  # what was shown before that
        self._frames: dict[str, Frame] = {}  # what tells what is painted, by the etag of what a tab shows
        self._lined: tuple[Frame, str] | None = None
        self._changed = False  # whether state has, or may have, since the last paint began
        self._wanted = False  # whether it is to be painted whether state has changed or not
        self._late = False  # whether what is painted may be older than what some tab shows
        self._failing = False
        self._halted = False

    def _name(self) -> str:
        return f"The live node {self.spec.name!r}"

    @property
    def idle(self) -> bool:
        """Whether nothing is to be done."""
        return not self._arriving and all(one.idle for one in (self._reception, self._painter))

    # Tabs come and go -------------------------------------------------------------------------------------

    def add(self, seat: Seat) -> None:
        """A tab asks what it lacks."""
        self.seats[seat] = self._arriving[seat] = None
        self._reception.ring()

    def remove(self, seat: Seat) -> None:
        """A tab does not show the node any more."""
        self.seats.pop(seat, None)
        self._arriving.pop(seat, None)
        if not self.seats:
            self.close()

    def close(self) -> None:
        """Nobody looks at it."""
        self._reception.stop()
        self._painter.stop()
        self._watch.close()
        self.hub.forget(self)

    async def _receive(self) -> Rest:
        arriving = list(self._arriving)
        self._arriving.clear()
        try:
            unproven = await self._place(arriving, proven=False)
            if unproven:
                async with asyncio.timeout(settings.LIVE_WAIT):
                    await self._watch.look({name for seat in unproven for name in seat.watched})
                await self._place(unproven, proven=True)
        except (TimeoutError, ViaStateError) as error:
            telemetry.TabUnproven(self.spec.name).emit()
            logger.debug("%s can't be proven: %r", self._name(), error)
            for seat in self._unplaced(arriving):
                seat.fail()
            return PROVE_AGAIN
        finally:
            self._arriving.update(dict.fromkeys(self._unplaced(arriving)))
        return None

    def _unplaced(self, seats: Iterable[Seat]) -> list[Seat]:
        return [seat for seat in seats if not seat.placed and seat in self.seats]

    async def _place(self, seats: list[Seat], *, proven: bool) -> list[Seat]:
        """Find out how what these tabs show stands to what is here; those for whom only the store can tell."""
        unproven = []
        for seat in seats:
            if seat not in self.seats:
                continue
            await self._watch.add(seat.watched)
            here, halted = await self._watch.here(seat.watched)
            order = compare(seat.at, here) if seat.at or not here else Order.BEHIND
            current = seat.token.code == code_of(self.spec)
            if not proven:
                telemetry.TabResumed(order.name.lower()).emit()
                if order > Order.BEHIND:
                    unproven.append(seat)
                    continue
            seat.placed = True
            if order is Order.SAME and current and (here or self.spec.kind == "text"):
                seat.same()
            else:
                seat.rewritten = order > Order.BEHIND
                self._lacking(seat, here)
            if halted:
                seat.fail()
        return unproven

    def _lacking(self, seat: Seat, here: Vector) -> None:
        """A tab needs what is here, or newer."""
        painted = self.painted
        if painted is None or not here or compare(painted.at, here) is not Order.SAME:
            self._changed = self._wanted = self._late = True
        seat.changed()
        if self._changed:
            self._painter.ring()

    # The state changes ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """What a render needs besides state has changed."""
        self._wanted = True
        self.rang()

    def rang(self) -> None:
        """State that was read has changed."""
        self._changed = True
        self._painter.ring()
        if self._arriving:
            self._reception.wake()

    async def _paint(self) -> Rest:
        if not self._changed or not self.seats:
            return None
        self._changed = False
        began = self.hub.loop.time()
        try:
            if not self._wanted and not await self._has_moved():
                return None
            self._wanted = False
            with using_pod(self.hub.pod):
                content = await arender(self.spec, self._visitor)
            if await self._watch.add(content.watched) and await self._moved(content):
                self._changed = True
                self._painter.ring()
            arriving = self._unplaced(self.seats)
            self._watch.keep({*content.watched, *(name for seat in arriving for name in seat.watched)})
        except Gone as gone:
            self._end(gone.why)
            return None
        except Exception:
            self._changed = self._wanted = True
            self._fail()
            raise
        self._take(content)
        ended = self.hub.loop.time()
        telemetry.NodeRendered(self.spec.name, ended - began).emit()
        self._pacing.rendered(began, ended)
        return Hold(self._pacing.wait(ended))

    async def _has_moved(self) -> bool:
        """Whether anybody shows something else than what is here. State that was only loaded rings as well."""
        names = self._watch.names
        here, halted = await self._watch.here(names)
        if halted != self._halted or not here:
            return True
        if self.painted is not None:
            return compare(self.painted.at, here) is not Order.SAME
        return any(
            compare(seat.at, {name: here[name] for name in seat.watched}) is not Order.SAME
            for seat in self.seats
            if seat.placed
        )

    async def _moved(self, content: Content) -> bool:
        here, _ = await self._watch.here(content.watched)
        return compare(content.at, here) is not Order.SAME

    def _take(self, content: Content) -> None:
        self._failing = self._late = False
        self._halted = content.halted
        painted = Painted.of(self.spec, content)
        before, self.painted = self.painted, painted
        if before is not None and painted.etag != before.etag:
            self._base = before
        # This pod goes back only where the store is proven to have done so; then its tabs do.
        back = before is not None and compare(before.at, painted.at) > Order.BEHIND
        self._frames.clear()
        self.hub.remember(self)
        for seat in self.seats:
            if seat.placed:
                seat.watched = content.watched
                same = before is not None and seat.at is before.at
                seat.rewritten |= back if same else self._went_back(seat, painted)
                seat.changed()
                if content.halted:
                    seat.fail()

    @staticmethod
    def _went_back(seat: Seat, painted: Painted) -> bool:
        return bool(seat.at) and compare(seat.at, painted.at) > Order.BEHIND

    def _fail(self) -> None:
        if not self._failing:
            self._failing = True
            for seat in self.seats:
                seat.fail()

    def _end(self, why: Why) -> None:
        for seat in list(self.seats):
            seat.end(why)

    # What tabs are told -----------------------------------------------------------------------------------

    def frame(self, seat: Seat) -> Frame | None:
        """What brings a tab to what is painted. None while nothing is, or only what may be older than what the tab shows."""
        painted = self.painted
        if painted is None or self._late:
            return None
        known = seat.etag if seat.at else ""
        frame = self._frames.get(known)
        if frame is None:
            frame = self._frames[known] = self._made(painted, known)
        seat.at, seat.etag = painted.at, painted.etag
        return frame

    def line(self, frame: Frame) -> str:
        """The line with this frame alone."""
        if self._lined is None or self._lined[0] is not frame:
            self._lined = frame, frames_line([frame])
        return self._lined[1]

    def _made(self, painted: Painted, known: str) -> Frame:
        if known == painted.etag:
            return same_frame(self.id, painted.at)
        whole, base = painted.whole(self.spec), self._base
        if self.spec.kind == "text" or base is None or base.etag != known or base.body is None:
            return whole
        change = difference(base.body, painted.body or "")
        delta = delta_frame(self.id, painted.at, known, change, painted.etag)
        return delta if delta.size < whole.size else whole

    @property
    def size(self) -> int:
        """About the bytes of what is remembered."""
        return sum(len(one.body or "") for one in (self.painted, self._base) if one is not None)

    def forget_painted(self) -> None:
        """The next frame is whole, and is rendered when it is needed."""
        self.painted = self._base = None
        self._frames.clear()
        if any(seat.outdated for seat in self.seats):
            self.refresh()
