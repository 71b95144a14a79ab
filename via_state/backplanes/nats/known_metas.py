"""What a process knows of the metadata of logs, and what a server has to say for it to be sure that this is still so.

Metadata changes seldom: when its log is compacted or dropped. So the server is asked for what is newer than what is known, and
mostly has nothing to say. That is a proof only if its history is the one that was read before, not one that was restored or made
again: the newest metadata that was read, the *witness*, comes with each answer, and must be the same message. It is the server's
history up to there that is the same then. So what was read of a log holds through the witness of that time, and the question begins
there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from via_state.backplanes.nats.api import Message
from via_state.backplanes.nats.log_meta import LogMeta, log_meta_of
from via_state.exceptions import BackplaneRefused

#: Logs that a process remembers.
REMEMBERED = 20_000


class _Known(NamedTuple):
    """The metadata of a log, which is the last one up to the message ``through``."""

    meta: LogMeta
    through: int


class _Witness(NamedTuple):
    """The newest metadata that was read."""

    key: str
    message: Message


class Question(NamedTuple):
    """``since``: the message from which metadata is asked for; 0: all of it. ``known``: of each log, what was known then."""

    known: Mapping[str, _Known | None]
    since: int
    witness: _Witness | None

    @property
    def keys(self) -> list[str]:
        """The logs to ask for."""
        more = [self.witness.key] if self.witness is not None and self.witness.key not in self.known else []
        return [*self.known, *more]


class KnownMetas:
    """Without any I/O. Several questions may be under way at once."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._witness: _Witness | None = None

    def question(self, keys: Sequence[str], *, all_of_it: bool = False) -> Question:
        """What to ask for to know the metadata of these logs."""
        known, witness = {key: self._known.get(key) for key in keys}, self._witness
        if witness is None or all_of_it:
            return Question(known, 0, witness)
        ends = [0 if one is None else one.through for one in known.values()]
        return Question(known, min(witness.message.seq, *ends), witness)

    def made(self, key: str, meta: LogMeta) -> None:
        """This process has written the first metadata of a log."""
        self._remember(key, _Known(meta, meta.seq))

    def learn(self, question: Question, answer: Mapping[str, Message]) -> dict[str, LogMeta] | None:
        """The metadata by key, without what is not there or can't be read. None: all of it must be asked for.

        ``answer``: of each log that was asked for the last message, if it is not before ``since``.
        """
        witness, fresh = question.witness, self._witness is question.witness
        if not _same(answer, witness):
            if fresh:
                self._known.clear()
                self._witness = None
            if question.since:
                return None
        metas: dict[str, LogMeta] = {}
        for key, known in question.known.items():
            if (message := answer.get(key)) is not None:
                with suppress(BackplaneRefused):  # whoever asks for that one alone learns it
                    metas[key] = log_meta_of(message)
            elif question.since and known is not None:
                if known.meta.seq >= question.since:
                    return None  # it was there, and is gone
                metas[key] = known.meta
        if fresh:  # what others learned meanwhile was proven by another witness
            self._learned(question, answer, metas)
        return metas

    def _learned(self, question: Question, answer: Mapping[str, Message], metas: Mapping[str, LogMeta]) -> None:
        newest = max(answer, key=lambda key: answer[key].seq, default=None)
        if newest is not None and (self._witness is None or answer[newest].seq > self._witness.message.seq):
            self._witness = _Witness(newest, answer[newest])
        through = 0 if self._witness is None else self._witness.message.seq
        for key in question.known:
            if key in metas:
                self._remember(key, _Known(metas[key], through))
            else:
                self._known.pop(key, None)

    def _remember(self, key: str, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _same(answer: Mapping[str, Message], witness: _Witness | None) -> bool:
    """Whether the witness is in the answer. No other message was stored at its time under its number."""
    if witness is None or (found := answer.get(witness.key)) is None:
        return False
    before = witness.message
    return (found.seq, found.time, found.data) == (before.seq, before.time, before.data)
