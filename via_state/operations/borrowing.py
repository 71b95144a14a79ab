"""Holding positions for a while beside the workers, with the same leases and fences: for replays."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from types import TracebackType
from typing import Self

from via_state.bookkeeping.database import tables
from via_state.bookkeeping.database.positions import RowPositions
from via_state.bookkeeping.positions import Claim, HandlerId
from via_state.conf import settings
from via_state.exceptions import BackplaneUnavailable, ViaStateError

logger = logging.getLogger("via_state.handlers")

#: Seconds between two looks whether a position was handed over.
LOOK = 0.02


class NotBorrowed(ViaStateError):
    """The position of an event handler could not be had; nothing was run. The message says who holds it, or what to do."""


class Borrower:
    """Borrows one position at a time, as a worker of its own whose lease is kept alive while the ``with`` block runs.

    ``patience``: seconds to wait for a worker to end the record that it delivers. A worker that delivers nothing loses the
    position at once, one that does when that record is done; both get it back when it is no longer needed.
    """

    def __init__(self, patience: float) -> None:
        self.store = RowPositions()
        self._id = uuid.uuid4().hex
        self._patience = patience
        self._claim: Claim | None = None
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep_lease, name="via-state-replay-lease", daemon=True)

    def __enter__(self) -> Self:
        try:
            with tables.atomic(durable=True):
                self._renew()
        except RuntimeError as error:
            raise NotBorrowed(
                f"A transaction is open on the database {settings.DATABASE!r}: no worker would see that a replay has begun. "
                "Replay outside of it."
            ) from error
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            self.store.leave(self._id)
        except BackplaneUnavailable as problem:
            logger.warning("A replay could not give its position back; its lease ends by itself: %s", problem)

    def _renew(self) -> None:
        self.store.renew(self._id, self._id, float(settings.HANDLER_LEASE))

    def _keep_lease(self) -> None:
        while not self._over.wait(settings.HANDLER_LEASE / 3):
            try:
                self._renew()
            except BackplaneUnavailable as error:
                logger.warning("The lease of a replay could not be renewed; that is tried again: %s", error)
            finally:
                self.store.end_of_work()

    def position(self, handler: HandlerId, key: str) -> Claim:
        """The claim of a position; the one that was borrowed before is given back. Raises `NotBorrowed`."""
        claim = self._claim
        if claim is not None and (claim.handler, claim.key) == (handler, key):
            return claim
        self.give_back()
        if not self.store.find(handler):
            raise NotBorrowed(
                f"The event handler {handler.name!r} of {handler.template!r} is not registered. Start a worker (manage.py "
                "run_projectors), which registers it."
            )
        until, asked = time.monotonic() + self._patience, False
        while (claim := self.store.borrow(handler, key, self._id)) is None:
            if not asked:
                self.store.ask(handler, key, self._id)
                asked = True
            if time.monotonic() >= until:
                self.store.no_longer_ask(handler, key, self._id)
                raise NotBorrowed(
                    f"{self.store.holder(handler, key)}, runs {handler.name!r} on {key!r}, and the event that it handles was "
                    f"not done within {self._patience:g} s. Try again later."
                )
            time.sleep(LOOK)
        self._claim = claim
        return claim

    def give_back(self) -> None:
        """Let workers have what was borrowed."""
        if self._claim is not None:
            claim, self._claim = self._claim, None
            self.store.release(self._id, [(claim.handler, claim.key)])
