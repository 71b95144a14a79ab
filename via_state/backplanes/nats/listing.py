"""The keys that a stream has, in pages."""

from __future__ import annotations

import bisect
from collections.abc import AsyncIterator

from via_state.backplanes.nats.connection import Connection
from via_state.backplanes.nats.streams import Streams
from via_state.backplanes.nats.tokens import is_ours, key_of, token_of


class Listing:
    """Of the tokens after ``before`` in the subjects of ``stream``. The server sends all of them, so they are kept until
    somebody begins again.
    """

    def __init__(self, streams: Streams, stream: str, before: str) -> None:
        self._streams, self._stream, self._before = streams, stream, before
        self._tokens: list[str] = []

    async def after(self, connection: Connection, key: str, limit: int, begin: str) -> AsyncIterator[list[str]]:
        """Portions of the tokens that follow a key's; from the first with "". Those that may be of keys that begin so: what
        stands for a long key does not tell.
        """
        token = token_of(key) if key else ""
        at = bisect.bisect_left(self._tokens, token)
        if not token or self._tokens[at : at + 1] != [token]:
            self._tokens = await self._load(connection)
        first = bisect.bisect_right(self._tokens, token)
        while some := self._tokens[first : first + limit]:
            if may_be := [one for one in some if begin == "" or (key_of(one) or begin).startswith(begin)]:
                yield may_be
            first += limit

    async def _load(self, connection: Connection) -> list[str]:
        found: set[str] = set()
        seen = 0
        while subjects := await self._streams.list_subjects(connection, self._stream, f"{self._before}>", seen):
            seen += len(subjects)
            for subject in subjects:
                token = subject.removeprefix(self._before)
                if is_ours(token):
                    found.add(token)
                else:
                    self._streams.strangers.met(subject, "which is not how we write a key")
        return sorted(found)
