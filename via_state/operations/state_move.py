"""From another backplane to the one of the settings, with everything that the books say about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

from via_state.backplanes.base import Backplane
from via_state.bookkeeping.database import leases, tables, workers
from via_state.conf import settings
from via_state.operations.copy_backplane import BackplaneCopy
from via_state.operations.refusal import Refused
from via_state.operations.translate_positions import offsets_of, translate
from via_state.pod.pod import Pod


class MoveProgress(NamedTuple):
    """What was moved so far. ``rows`` of the books speak of the new logs."""

    logs: int = 0
    records: int = 0
    rows: int = 0


class StateMove:
    """First `cells`, then `logs`, to its end: no log of a session may be there without the list that says that the session lives.

    ``dry`` only counts the logs. Interrupted, it continues when it is begun again.

    Raises `Refused` while somebody works with the old one, `MoveError` for what is in the way.
    """

    def __init__(self, pod: Pod, source: Backplane, *, dry: bool = False) -> None:
        self._pod, self._source, self._dry = pod, source, dry
        self._copy = BackplaneCopy(source, pod.backplane)
        self.done = MoveProgress()
        if not dry:
            _check_quiet()

    def logs(self) -> Iterator[MoveProgress]:
        """Move the logs; after each, what is done."""
        call, after = self._pod.thread.call, ""
        while page := call(self._source.logs(after)):
            for after in page:
                logs, records, rows = self.done
                if not self._dry:
                    copied = call(self._copy.log(after, offsets_of(after)))
                    records, rows = records + copied.records, rows + translate(after, copied)
                self.done = MoveProgress(logs + 1, records, rows)
                yield self.done

    def cells(self) -> int:
        """Copy the cells; returns how many there are."""
        return self._pod.thread.call(self._copy.cells())


def _check_quiet() -> None:
    if (worker := workers.alive().first()) is not None:
        raise Refused(f"A worker is running ({worker}). Stop all workers and web processes first.")
    others = leases.alive(tables.peers.rows()).exclude(host=socket.gethostname()[:200], pid=os.getpid())
    if (peer := others.first()) is not None:
        raise Refused(
            f"The process {peer.pid} on {peer.host} uses the state ({others.count():,} such processes). Stop all workers and web processes "
            f"first. One that was killed counts for {settings.PEER_LEASE:g} s."
        )
    if waiting := tables.outbox.rows().count():
        noun = "append" if waiting == 1 else "appends"
        raise Refused(
            f"The outbox is not empty ({waiting:,} {noun}). With the old backend in VIA_STATE run: manage.py run_projectors "
            "--until-caught-up"
        )
