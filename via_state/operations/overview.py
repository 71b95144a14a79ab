"""Is it well? What needs somebody, then logs, event handlers, and processes: one page, the same for the admin and as text.

Ten statements on the books, and a moment on the backplane: the heads of the declared logs that are not families, and of what is in trouble.
Nothing is asked for each key of a family.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.peers import KnownPeer, Peer
from via_state.conf import settings
from via_state.core.findings import Finding, bad, lasted
from via_state.core.records import LogBounds
from via_state.declarations.catalog import handled_logs
from via_state.exceptions import ViaStateError
from via_state.operations import condition as books
from via_state.operations.condition import COUNTED, STATES, Condition, Halt, Outbox, Trouble, Worker, or_more
from via_state.operations.doctor.doctor import heard, needs
from via_state.operations.flow import Flow, flow
from via_state.operations.history import Happening, happenings
from via_state.operations.truth import At, late, oldest_of, template_of
from via_state.pod.pod import Pod

#: Seconds that the backplane may take; keys in trouble whose heads are asked for; positions whose next record is read.
ANSWER, KEYS, READS = 1.0, 200, 50
#: Seconds that an event may wait for its handler.
LATE = 300.0


def waits(seconds: float | None, family: bool) -> str:
    """How long the oldest event has waited, in words. Of a family only keys in trouble are looked at."""
    if seconds is None:
        return "not looked at" if family else "unknown"
    return lasted(seconds) if seconds else "-"


@dataclass(slots=True)
class HandlerLine:
    """An event handler. ``oldest``: seconds since the first event was appended that it has not had; 0 for none, None where that is not
    known: of a family only keys in trouble are looked at.
    """

    pk: int
    name: str
    template: str
    family: bool
    declared: bool
    stuck: int = 0
    blocked: int = 0
    halted: int = 0
    dead_letters: int = 0
    oldest: float | None = None
    #: Which of these were not counted to the end: "stuck", "blocked", "halted".
    at_least: tuple[str, ...] = ()

    @property
    def shown_oldest(self) -> str:
        """How long the oldest event has waited, in words."""
        return waits(self.oldest, self.family)

    @property
    def shown(self) -> dict[str, str]:
        """How many are stuck, blocked and halted, and how many dead letters there are; ``12+``: at least so many."""
        found = {
            state: f"{min(getattr(self, state), COUNTED):,}{'+' if state in self.at_least else ''}"
            for state in STATES
        }
        return {**found, "dead_letters": or_more(self.dead_letters)}

    @property
    def badness(self) -> tuple[float, ...]:
        """The worst come first."""
        return (-self.halted, -self.stuck, -self.blocked, -(self.oldest or 0.0), -self.dead_letters)


@dataclass(slots=True)
class LogLine:
    """A declared log, or a family by its template. ``head`` and ``floor`` are None for a family, and where the backplane did not answer."""

    template: str
    family: bool
    head: int | None = None
    floor: int | None = None
    #: Keys of it that are halted somewhere.
    halted: int = 0
    handlers: int = 0
    #: Seconds that the oldest event has waited for a handler of it, as of a handler.
    oldest: float | None = None

    @property
    def shown_oldest(self) -> str:
        """How long the oldest event has waited, in words."""
        return waits(self.oldest, self.family)

    @property
    def badness(self) -> tuple[float, ...]:
        """The worst come first."""
        return (-self.halted, -(self.oldest or 0.0))


@dataclass(slots=True)
class Release:
    """Processes that run the same code; ``code`` is one short text for all fingerprints. ``peers`` are alive."""

    code: str
    peers: list[KnownPeer] = field(default_factory=list)


@dataclass(slots=True)
class Overview:
    """``at``: Unix time. ``unknown``: why the backplane's part is missing, or ""."""

    at: float
    backend: str
    prefix: str
    needs: list[Finding]
    handlers: list[HandlerLine]
    logs: list[LogLine]
    halts: list[Halt]
    troubles: list[Trouble]
    outbox: Outbox
    workers: list[Worker]
    releases: list[Release]
    happenings: list[Happening]
    flow: Flow
    unknown: str = ""

    @property
    def oldest(self) -> float | None:
        """Seconds that the oldest event has waited for a handler, of those that were looked at; None where that is not known."""
        if self.unknown:
            return None
        return max((one.oldest for one in self.handlers if one.oldest is not None), default=0.0)

    @property
    def alive(self) -> int:
        """Workers that hold a lease."""
        return sum(one.alive for one in self.workers)

    @property
    def processes(self) -> int:
        """Processes that are alive."""
        return sum(len(one.peers) for one in self.releases)


def overview(pod: Pod) -> Overview:
    """A look, now. Raises what the database raises; what the backplane does not say in time is left out."""
    condition = books.read()
    found = Overview(
        time.time(),
        settings.BACKEND.rpartition(".")[2],
        settings.PREFIX,
        needs(condition),
        _handlers(condition),
        _logs(condition),
        condition.halts,
        condition.troubles,
        condition.outbox,
        condition.workers,
        _releases(condition.peers),
        happenings(condition.peers, condition.workers),
        flow(),
    )
    try:
        pod.thread.call(_ask(pod.backplane, condition, found))
    except (ViaStateError, TimeoutError) as error:
        found.unknown = str(error) or f"The backplane did not answer within {ANSWER:g} s."
        away = bad(
            "D200",
            f"The backplane does not answer: {found.unknown}",
            "manage.py state_doctor looks at its servers.",
        )
        found.needs = [*heard([away]), *found.needs]
    else:
        found.needs += heard(_lagging(found))
    found.handlers.sort(key=lambda one: (one.badness, one.template, one.name))
    found.logs.sort(key=lambda one: (one.badness, one.template))
    return found


def _handlers(condition: Condition) -> list[HandlerLine]:
    code = {(log.spec.name, name) for log in handled_logs() for name in log.handlers}
    families = {log.spec.name for log in handled_logs(without_handlers=True) if log.spec.family}
    lines = {
        (one.template, one.name): HandlerLine(
            one.pk, one.name, one.template, one.template in families, (one.template, one.name) in code
        )
        for one in condition.handlers
    }
    uncounted = tuple(sorted(condition.uncounted))
    for line in lines.values():
        line.at_least = uncounted
        for state, number in condition.states.get(line.pk, {}).items():
            setattr(line, state, number)
    for (handler, log), letters in condition.letters.items():
        if (line_ := lines.get((log, handler))) is not None:
            line_.dead_letters = letters.number
    return list(lines.values())


def _logs(condition: Condition) -> list[LogLine]:
    logs = handled_logs(without_handlers=True)
    halted: Counter[str] = Counter(template_of(key, logs) for key in {one.key for one in condition.halts})
    handlers = Counter(one.template for one in condition.handlers)
    names = {one.spec.name: bool(one.spec.family) for one in logs}
    return [LogLine(name, family, halted=halted[name], handlers=handlers[name]) for name, family in names.items()]


def code_of(peer: Peer) -> str:
    """One short text for all fingerprints: processes of the same code have the same."""
    return peer.code.release


def _lagging(found: Overview) -> list[Finding]:
    """Handlers for which events have waited for long although they are not stuck."""
    return [
        bad(
            "D313",
            f"An event of {one.template!r} has waited for {one.name!r} for {lasted(one.oldest)}, which is not stuck: it is slow, hangs, or no "
            "worker has it.",
            f"manage.py state_status --key '{one.template}'",
        )
        for one in found.handlers
        if one.oldest is not None and one.oldest > LATE and not (one.halted or one.stuck or one.blocked)
    ]


def _releases(peers: Iterable[KnownPeer]) -> list[Release]:
    found: dict[str, Release] = {}
    for one in peers:
        if one.alive:
            code = code_of(one.peer)
            found.setdefault(code, Release(code)).peers.append(one)
    return sorted(found.values(), key=lambda one: -len(one.peers))


async def _ask(backplane: Backplane, condition: Condition, found: Overview) -> None:
    async with asyncio.timeout(ANSWER):
        plain = [one.template for one in found.logs if not one.family]
        keys = dict.fromkeys(plain)
        keys |= dict.fromkeys([one.at.key for one in condition.troubles][:KEYS])
        heads = await backplane.heads(keys)
        for line in found.logs:
            head = heads.get(line.template)
            if not line.family:
                line.head, line.floor = (0, 0) if head is None else (head.position.offset, head.floor.offset)
        await _wait(backplane, condition, found, heads)


async def _wait(backplane: Backplane, condition: Condition, found: Overview, heads: dict[str, LogBounds]) -> None:
    """How long events have waited: of what is in trouble, and of logs that are not families."""
    positions = {(one.name, one.template, one.key): one for one in condition.begun}
    positions |= {(one.at.name, one.at.template, one.at.key): one.at for one in condition.troubles}
    waiting: list[At] = sorted(
        late([(one.name, one.template) for one in condition.handlers], list(positions.values()), heads),
        key=lambda one: not one.failing,
    )
    times = await oldest_of(backplane, waiting[:READS])
    by_log: dict[str, list[float]] = defaultdict(list)
    for handler in found.handlers:
        at = times.get((handler.name, handler.template))
        if at is not None or not handler.family:
            handler.oldest = 0.0 if at is None else max(found.at - at, 0.0)
            by_log[handler.template].append(handler.oldest)
    for log in found.logs:
        log.oldest = max(by_log[log.template], default=None if log.family and log.handlers else 0.0)
