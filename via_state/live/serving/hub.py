"""What one event loop of a process knows of its tabs."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from contextvars import Context
from typing import TYPE_CHECKING
from weakref import ref

from django.db import connections

from via_state import telemetry
from via_state.conf import settings
from via_state.exceptions import Closed
from via_state.live.protocol.codes import SIGNED_OUT, SLOW
from via_state.live.protocol.frames import Asked, Frame, bye_line
from via_state.live.rendering.renderer import apermitted, group_of, locate
from via_state.live.serving import presences
from via_state.live.serving.group import Group
from via_state.live.serving.logins import logins
from via_state.live.serving.refusals import fragment_failed
from via_state.live.serving.seat import Seat
from via_state.live.visitors.signed_in import Login, over
from via_state.live.visitors.tokens import NodeToken, Ticket
from via_state.pod.pod import Pod
from via_state.runtime.rng import rng
from via_state.runtime.single_flight import Rest, SingleFlight
from via_state.runtime.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from via_state.live.announcing.audience import To
    from via_state.live.serving.tab import Tab

#: Tabs that are written to in one turn of the loop.
TABS_AT_ONCE = 100
#: Seconds between two looks at all tabs; of silence after which a tab is told that we are here; and for which one may not
#: acknowledge while something waits for it.
ROUND, SILENCE, PATIENCE = 5.0, 20.0, 30.0
#: Seconds until a page that is no longer its visitor's is loaded again.
RELOAD = 0.5, 2.0
#: Seconds for which the database is asked who is still signed in; then it is asked again.
LONGEST_CHECK = 30.0


def tell_sent(frames: Mapping[str, int], size: int) -> None:
    """Count frames that went to tabs, by their kind, and the characters of their lines."""
    for kind, count in frames.items():
        telemetry.FramesSent(kind, count).emit()
    telemetry.FrameLinesSent(size).emit()


class Hub:
    """On one event loop; for one pod. It holds the tabs, and the groups of those who see the same."""

    def __init__(self, pod: Pod) -> None:
        self._pod = ref(pod)  # hubs are found by their pod: a reference would keep both
        self.loop = asyncio.get_running_loop()
        self.tabs: set[Tab] = set()
        self.groups: dict[tuple[str, ...], Group] = {}
        self._due: dict[Tab, None] = {}
        self._bodies: OrderedDict[Group, int] = OrderedDict()
        self._remembered = 0  # bytes
        self._told: Counter[str] = Counter()  # frames by kind, and their characters, since they were last counted
        self._size = 0
        self._round: asyncio.TimerHandle | None = None
        self._to_check: set[Tab] = set()
        self._checker = SingleFlight("Looking whether visitors are signed in", self._check, kind="live")
        self._threads = WorkerThreads(1, "via-state-live", connections.close_all, idle=0, replaces=True)

    @property
    def pod(self) -> Pod:
        """Whose state its tabs show. Raises `Closed` when nobody has it any more."""
        if (pod := self._pod()) is None:
            raise Closed("The pod is gone.")
        return pod

    # Tabs -------------------------------------------------------------------------------------------------

    def enter(self, tab: Tab) -> None:
        """A tab that was let in."""
        self.tabs.add(tab)
        telemetry.TabsCounted(1).emit()
        if self._round is None:
            # They are of the hub, and have nothing of the context of the tab that came first.
            self._round = self.loop.call_later(ROUND, self._look_round, context=Context())
            self.loop.call_later(settings.LIVE_RECHECK, self._checker.ring, context=Context())

    def left(self, tab: Tab) -> None:
        """A tab that is closed."""
        self._due.pop(tab, None)
        if tab in self.tabs:
            self.tabs.remove(tab)
            telemetry.TabsCounted(-1).emit()

    @property
    def spread(self) -> int:
        """Over how many milliseconds all tabs should come back, if they were cut off now."""
        return max(1000, 1000 * len(self.tabs) // int(settings.LIVE_RETURNS))

    def watch(self, tab: Tab, token: NodeToken, asked: Asked) -> None:
        """A tab shows a node that it may see, and asks what it lacks. Raises `Gone`. One that is closed by now watches nothing."""
        if tab.closed:
            return
        watched = locate(token.spec, token.keys, tab.visitor)
        key = group_of(token.spec, tab.visitor)
        seat = tab.seats.get(token.spec.id)
        if seat is None:
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = Group(self, key, token.spec, tab.visitor)
            seat = tab.seats[group.id] = Seat(tab, group, token, watched)
            presences.came(self.pod, tab, token.spec)
        elif seat.placed:
            seat.token, seat.watched = token, watched
        seat.resume(asked)
        seat.group.add(seat)

    async def settle(self) -> None:
        """Wait until all tabs were sent what there is to show now. For tests."""
        while not (all(one.quiet for one in self.tabs) and all(one.idle for one in self.groups.values())):
            await asyncio.sleep(0.001)

    def forget(self, group: Group) -> None:
        """A group that nobody looks at."""
        if self.groups.get(group.key) is group:
            del self.groups[group.key]
        self._unremember(group)

    # Writing ----------------------------------------------------------------------------------------------

    def flush_soon(self, tab: Tab) -> None:
        """Write to a tab when everything that happens now has happened."""
        if not self._due:
            self.loop.call_soon(self._flush)
        self._due[tab] = None

    def _flush(self) -> None:
        for tab in list(itertools.islice(self._due, TABS_AT_ONCE)):
            del self._due[tab]
            tab.flush()
        if self._due:
            self.loop.call_soon(self._flush)
        elif self._told:
            tell_sent(self._told, self._size)
            self._told.clear()
            self._size = 0

    def told(self, frames: Iterable[Frame], size: int) -> None:
        """These frames went to a tab, in so many characters."""
        for one in frames:
            self._told[one.kind] += 1
        self._size += size

    def remember(self, group: Group) -> None:
        """A group has painted: the least recent ones forget what they painted, where all of it is too much."""
        self._unremember(group)
        self._bodies[group] = group.size
        self._remembered += group.size
        while self._remembered > settings.LIVE_MEMORY and len(self._bodies) > 1:
            oldest = next(iter(self._bodies))
            self._unremember(oldest)
            oldest.forget_painted()

    def _unremember(self, group: Group) -> None:
        self._remembered -= self._bodies.pop(group, 0)

    def _look_round(self) -> None:
        for tab in list(self.tabs):
            try:
                self._look_at(tab)
            except Exception as error:
                tab.fail(error)
        self._round = self.loop.call_later(ROUND, self._look_round) if self.tabs else None

    def _look_at(self, tab: Tab) -> None:
        now = self.loop.time()
        if not 0.8 * tab.spread <= self.spread <= 1.25 * tab.spread:
            tab.welcome()
        if tab.held is not None and now - tab.held > PATIENCE:
            telemetry.TabRefused("slow").emit()
            tab.close(SLOW)
        elif now - tab.sent > SILENCE:
            tab.beat()
        if now >= tab.renew_at:
            tab.renew()

    # What others say --------------------------------------------------------------------------------------

    def deliver(self, to: To, line: str) -> int:
        """Tell all tabs that are meant; how many they are."""
        meant = [tab for tab in self.tabs if to.matches(tab)]
        for tab in meant:
            tab.hear(line)
        return len(meant)

    def refresh(self, nodes: Collection[str]) -> None:
        """What these nodes show has changed, though no state of theirs has."""
        for group in list(self.groups.values()):
            if group.id in nodes:
                group.refresh()

    def end(self, session: str) -> None:
        """Nobody is signed in with this session any more."""
        logins.doubt(session)
        for tab in [one for one in self.tabs if one.ticket.session == session]:
            self.dismiss(tab)

    def send_away(self, seconds: float) -> None:
        """All tabs go to other processes, within so many seconds: each has a new connection before it ends this one."""
        for tab in list(self.tabs):
            tab.line(bye_line("drain", int(800 * seconds)))

    def recheck(self, to: To | None = None) -> None:
        """Look now whether visitors are still signed in, and may see what they see. ``to``: of these tabs; None: of all.

        Blocks that are rendered for one visitor are rendered again: what they show may depend on the visitor's rights.
        """
        told = {tab for tab in self.tabs if to is None or to.matches(tab)}
        self._to_check |= told
        self._checker.ring()
        for group in {seat.group for tab in told for seat in tab.seats.values()}:
            if group.spec.audience == "visitor":
                group.refresh()

    async def is_over(self, ticket: Ticket, session: str) -> bool:
        """Whether the login of a page that comes back is over, as the database has it. Raises what that raises, and TimeoutError."""
        async with asyncio.timeout(LONGEST_CHECK):
            ended = bool(await self._threads.run(over, {Login.of(ticket, session)}))
        if not ended:
            logins.prove(ticket.session, time.monotonic())
        return ended

    async def _check(self) -> Rest:
        tabs, self._to_check = self._to_check or set(self.tabs), set()
        logins = {tab: Login.of(tab.ticket, tab.session) for tab in tabs if tab.ticket.session or tab.ticket.user}
        if logins:
            async with asyncio.timeout(LONGEST_CHECK):
                ended = await self._threads.run(over, set(logins.values()))
            for tab, login in logins.items():
                if login in ended:
                    self.dismiss(tab)
        for tab in tabs & self.tabs:
            for seat in list(tab.seats.values()):
                try:
                    if not await apermitted(seat.token.spec, tab.visitor.again()):
                        seat.end("denied")
                except Exception as error:  # one fragment of the project's, whose fault is not that of the others
                    fragment_failed(seat.token.spec.name, error)
                    seat.fail()
        return settings.LIVE_RECHECK * rng.uniform(0.8, 1.0) if self.tabs else None

    def dismiss(self, tab: Tab) -> None:
        """A tab whose page is no longer its visitor's."""
        logins.doubt(tab.ticket.session)
        # The answer that brings the browser another session may be on its way.
        tab.line(bye_line("signed-out", int(1000 * rng.uniform(*RELOAD))))
        tab.flush()
        tab.close(SIGNED_OUT)
