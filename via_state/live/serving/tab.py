"""One open page: what it watches, and what is under way to it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from via_state import telemetry
from via_state.conf import settings
from via_state.live.protocol.codes import FAULT, UNASKED
from via_state.live.protocol.frames import BEAT, Frame, frames_line, message_of, welcome_line
from via_state.live.protocol.limits import Window
from via_state.live.serving import presences
from via_state.live.serving.refusals import refuse
from via_state.live.visitors.tickets import issue_time
from via_state.live.visitors.tokens import sign_ticket
from via_state.runtime.eager import start

if TYPE_CHECKING:
    from via_state.live.serving.hub import Hub
    from via_state.live.serving.seat import Seat
    from via_state.live.visitors.visitor import Visitor

#: Broadcasts that wait for one tab; then the oldest goes.
WAITING_LINES = 16
#: Messages that may be under way at least: the client acknowledges each 16.
LEAST_WINDOW = 20
#: Frames in one message.
FRAMES_AT_ONCE = 50

logger = logging.getLogger("via_state.live")
Send = Callable[[str], Coroutine[Any, Any, None]]
_numbers = itertools.count(1)


class Tab:
    """On its hub's event loop. ``send(text)`` writes to the socket; only one call of it is under way, and nobody waits for it. Its
    attributes are the visitor's, what is shown, and what is under way: they live as long as one connection."""

    __slots__ = (
        "_due", "_hub", "_lines", "_said", "_send", "_sending", "asleep", "closed", "held", "number", "on_close", "renew_at", "seats", "sent", "session", "spread",
        "ticket", "visitor", "window",
    )  # fmt: skip

    def __init__(
        self, hub: Hub, visitor: Visitor, session: str, send: Send, on_close: Callable[[int], None]
    ) -> None:
        """``session`` is the key of the session that the connection came with, ``on_close(code)`` closes the socket."""
        self._hub, self._send, self.on_close = hub, send, on_close
        self.visitor, self.session, self.ticket = visitor, session, visitor.ticket
        self.number = next(_numbers)
        self.seats: dict[str, Seat] = {}
        self.window = Window(max(settings.LIVE_WINDOW, LEAST_WINDOW))
        #: When something was sent last, and since when the tab has not acknowledged while something waits; in the loop's time.
        self.sent = hub.loop.time()
        self.held: float | None = None
        #: When ticket and tokens are looked at again; in the loop's time.
        self.renew_at = self.sent + settings.LIVE_TOKEN_AGE / 8
        #: Within how many milliseconds it comes back, as it was told last.
        self.spread = 0
        self.closed = False
        #: Whether it ends its connection because nobody looks at the page.
        self.asleep = False
        self._due: dict[Seat, None] = {}
        self._lines: list[str] = []
        self._said: deque[str] = deque()
        self._sending: asyncio.Task[None] | None = None

    @property
    def nodes(self) -> Collection[str]:
        """The ids of what it shows."""
        return self.seats.keys()

    @property
    def quiet(self) -> bool:
        """Whether nothing waits for it, or is on its way into the socket."""
        return self._sending is None and not (self._due or self._lines or self._said)

    def mark(self, seat: Seat) -> None:
        """The seat has something to tell."""
        self._due[seat] = None
        self._hub.flush_soon(self)

    def line(self, line: str) -> None:
        """Answer the tab. One that has more answered than it takes is closed."""
        self._lines.append(line)
        self._hub.flush_soon(self)
        if len(self._lines) > 2 * settings.LIVE_NODES:
            refuse("flood", "A tab asks more than it takes answers.")
            self.close(UNASKED)

    def answer(self, frame: Frame) -> None:
        """Tell the tab of a node that it asked for, and is not shown."""
        line = frames_line([frame])
        self._hub.told([frame], len(line))
        self.line(line)

    def hear(self, line: str) -> None:
        """What is said to it among others: of too many that wait the oldest goes."""
        if len(self._said) >= WAITING_LINES:
            self._said.popleft()
            telemetry.BroadcastDropped().emit()
        self._said.append(line)
        self._hub.flush_soon(self)

    def beat(self) -> None:
        """Let a silent tab know that it is not alone."""
        if self._sending is None and self.window.open:
            self._write(BEAT)

    def acknowledge(self, count: int) -> bool:
        """The tab has so many messages. False for a number that can't be."""
        if not self.window.acknowledge(count):
            return False
        self.held = None
        self.flush()
        return True

    def welcome(self, ticket: str | None = None) -> None:
        """Tell the tab who serves it, within what time it comes back if that ends, and perhaps the page's next ticket."""
        self.spread = self._hub.spread
        self.line(welcome_line(self._hub.pod.pod_id, self.spread, ticket))

    def renew(self) -> None:
        """Give the page another ticket, and tokens, before those that it has are too old."""
        self.renew_at = self._hub.loop.time() + settings.LIVE_TOKEN_AGE / 8
        if time.time() - self.ticket.issued > settings.LIVE_TOKEN_AGE / 2:
            self.ticket = msgspec.structs.replace(self.ticket, issued=issue_time())
            self.welcome(sign_ticket(self.ticket))
        for seat in self.seats.values():
            seat.renew()

    def leave(self, seat: Seat) -> None:
        """The page does not show that node any more."""
        self._due.pop(seat, None)
        if self.seats.get(seat.group.id) is seat:
            del self.seats[seat.group.id]
            presences.went(self._hub.pod, self, seat.group.spec)
        seat.group.remove(seat)

    def flush(self) -> None:
        """Send what may be sent now. Of each node the newest counts, however much has changed meanwhile. Raises nothing."""
        try:
            self._send_due()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """What is news to it could not be made. Others have theirs, and it comes back for its own."""
        logger.error(
            "A live tab could not be told what is new. It is closed, and comes back for it.", exc_info=error
        )
        self.close(FAULT)

    def _send_due(self) -> None:
        while (self._said or self._due or self._lines) and self._sending is None and not self.closed:
            if not self.window.open:
                if self.held is None:
                    self.held = self._hub.loop.time()
                return
            # Thousands of tabs are told one thing at once, and most have nothing else to be told.
            if self._lines or (self._said and (self._due or len(self._said) > 1)):
                message = self._message()
            else:
                message = self._said.popleft() if self._said else self._frames()
            if message:
                self._write(message)

    def _message(self) -> str:
        lines = [*self._lines, *self._said]
        self._lines.clear()
        self._said.clear()
        if self._due and (frames := self._frames()):
            lines.append(frames)
        return lines[0] if len(lines) == 1 else message_of(lines)

    def _frames(self) -> str:
        """The line with the frames that are due; empty where there are none."""
        frames: list[Frame] = []
        for _ in range(min(len(self._due), FRAMES_AT_ONCE)):
            seat = next(iter(self._due))
            del self._due[seat]
            frames += seat.frames()
            if seat.gone is not None:
                self.leave(seat)
        if not frames:
            return ""
        # Most tabs of a group are told the same single frame.
        line = seat.group.line(frames[0]) if len(frames) == 1 else frames_line(frames)
        self._hub.told(frames, len(line))
        return line

    def _write(self, message: str) -> None:
        self.window.sent(len(message))
        self.sent = self._hub.loop.time()
        try:
            task = start(self._send(message), self._hub.loop)
        except (Exception, asyncio.CancelledError):
            self.close(FAULT)  # the socket is gone, whatever it says
            return
        if task is not None:
            self._sending = task
            task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if task.cancelled() or task.exception() is not None:
            self.close(FAULT)
        else:
            self.flush()

    def close(self, code: int) -> None:
        """No more of this tab. Closing twice is harmless."""
        if self.closed:
            return
        self.closed = True
        for seat in list(self.seats.values()):
            self.leave(seat)
        self._due.clear()
        self._lines.clear()
        self._said.clear()
        self._hub.left(self)
        self.on_close(code)
