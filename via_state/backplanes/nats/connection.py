"""One connection to NATS, from its beginning to its end: it never comes back to life.

nats-py can reconnect by itself, and then sends what it had buffered: a write from minutes ago, whose id nobody remembers
any more. Here what a broken connection had not sent is not sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, Error, MaxPayloadError, OutboundBufferLimitError, UnexpectedEOF

from via_state.backplanes.nats.dialing import Way
from via_state.backplanes.nats.headers import read_headers
from via_state.core.text import error_line
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, OutcomeUnknown
from via_state.runtime.servers import did_not_answer

logger = logging.getLogger("via_state")

#: Seconds between two looks at whether the server still answers, and how many may go unanswered.
PING_INTERVAL, PINGS = 3, 2
#: Messages, and bytes, of answers that wait to be taken apart.
ANSWERS, ANSWER_BYTES = 1_000_000, 512 * 1024 * 1024
#: Passes of the loop in which nats-py writes to its socket what waits for that.
PASSES = 3
#: Seconds for saying good-bye.
CLOSE_TIMEOUT = 1.0
#: Before the verbs of the JetStream that the server itself belongs to.
JETSTREAM = "$JS.API."
STATUS = "Status"
#: What the server adds to messages of a stream.
STORED = "Nats-Sequence"
NO_RESPONDERS = "503"
GONE = (
    "the stream is gone. If it is being restored, wait for it. To begin again with an empty one, start one more "
    "process: it makes what it has never seen"
)


class Reply(NamedTuple):
    """One message of an answer. ``status`` is "" for one that carries data."""

    status: str
    headers: dict[str, str]
    data: bytes


class Connection:
    """``timeout``: seconds for an answer. ``api``: before the verbs of JetStream. ``when_ended`` is called when the connection
    is gone.
    """

    def __init__(self, timeout: float, api: str = JETSTREAM) -> None:
        self.client = Client()
        self.api = api
        self.when_ended: Callable[[], None] = lambda: None
        self._timeout = timeout
        self._numbers = itertools.count(1)
        self._inbox = ""
        self._trouble: Exception | None = None  # what nats-py said last
        self._waiting: dict[str, Callable[[Reply | None], None]] = {}  # called with None when the connection ends
        self._ended = False
        self._round: asyncio.Future[Exception | None] | None = None  # under way: see `_round_trip`
        self._next_round: asyncio.Future[Exception | None] | None = None
        self._rounds: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        # nats-py does not always say that it closed: an error while it does ends that silently.
        return not (self._ended or self.client.is_closed)

    async def connect(self, way: Way, seconds: float) -> None:
        """Raises `BackplaneUnavailable`, whatever went wrong: nothing was sent."""
        ours = {
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,  # of one server, at once
            "reconnect_time_wait": 0,
            "ping_interval": PING_INTERVAL,
            "max_outstanding_pings": PINGS,
            "closed_cb": self._closed,
            "error_cb": self._heard_of,
        }
        try:
            async with asyncio.timeout(seconds):
                self.client = await way.dial(ours, seconds)
                read_headers(self.client)
                self._inbox = self.client.new_inbox()
                await self.client.subscribe(
                    f"{self._inbox}.*",
                    cb=self._hear,
                    pending_msgs_limit=ANSWERS,
                    pending_bytes_limit=ANSWER_BYTES,
                )
        except BackplaneUnavailable:
            await self.close()
            raise
        except Exception as error:  # nats-py's, those below it, the project's
            await self.close()
            cause = self._trouble or error
            reason = error_line(cause) if not isinstance(cause, Error | OSError) else str(cause).strip()
            reason = reason or f"no answer within {seconds:g} s"
            if isinstance(cause, ConnectionResetError | UnexpectedEOF):  # which overtakes what the server says
                reason = "it hung up during the login: the credentials may be wrong, or it wants TLS"
            raise did_not_answer(BackplaneUnavailable(f"NATS can't be reached: {reason}"), "NATS") from error

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, *, write: bool = False
    ) -> Reply:
        """The answer. Raises `BackplaneUnavailable`; when ``write``, `OutcomeUnknown` if it was sent and none came."""
        answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        def hear(reply: Reply | None) -> None:
            if not answer.done():
                answer.set_result(reply)

        with self._listening(hear) as inbox:
            async with self._patience(subject, write):
                await self._publish(subject, data, inbox, headers)
            async with self._patience(subject, write):  # apart: a publish that must wait swallows a cancellation
                reply = await answer
        return self._checked(subject, reply, write)

    async def request_each(self, requests: Sequence[tuple[str, bytes, dict[str, str]]]) -> list[Reply | Exception]:
        """The answers to several writes, each a subject, data and headers, which are under way together: for each the reply, or what
        `request` would raise.
        """
        loop = asyncio.get_running_loop()
        answers: list[Reply | Exception | None] = [None] * len(requests)
        missing, done = len(requests), loop.create_future()

        def answered(index: int, answer: Reply | Exception) -> None:
            nonlocal missing
            if answers[index] is None:
                answers[index] = answer
                missing -= 1
                if not missing and not done.done():
                    done.set_result(None)

        def hear(index: int, reply: Reply | None) -> None:
            try:
                answered(index, self._checked(requests[index][0], reply, write=True))
            except (BackplaneUnavailable, OutcomeUnknown) as error:
                answered(index, error)

        numbers = [str(next(self._numbers)) for _ in requests]
        try:
            begun = 0
            try:
                async with asyncio.timeout(self._timeout):
                    for index, (subject, data, headers) in enumerate(requests):
                        self._waiting[numbers[index]] = functools.partial(hear, index)
                        begun = index + 1
                        try:
                            await self._publish(subject, data, f"{self._inbox}.{numbers[index]}", headers)
                        except BackplaneUnavailable as error:
                            answered(index, error)
                    await done
            except TimeoutError:
                for index, (subject, _, _) in enumerate(requests):
                    answered(index, self._silence(subject, write=index < begun))
        finally:
            for number in numbers:
                self._waiting.pop(number, None)
        return [answer for answer in answers if answer is not None]

    async def request_many(self, subject: str, data: bytes) -> list[Reply]:
        """The messages of an answer, all together; the last one has a status. Raises `BackplaneUnavailable`."""
        replies: list[Reply] = []
        ended: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        def hear(reply: Reply | None) -> None:
            if reply is not None:
                replies.append(reply)
            if (reply is None or reply.status) and not ended.done():
                ended.set_result(reply)

        with self._listening(hear) as inbox:
            async with self._patience(subject, write=False):
                await self._publish(subject, data, inbox, None)
            heard = -1
            while not ended.done() and len(replies) > heard:  # as long as more comes
                heard = len(replies)
                await asyncio.wait({ended}, timeout=self._timeout)
        if not ended.done():
            raise self._silence(subject, write=False)
        self._checked(subject, ended.result(), write=False)
        return replies

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> list[Exception | None]:
        """Give messages, each a subject and its data, to whoever hears them now. Returns when the server has them: for each
        None, `BackplaneUnavailable` or `OutcomeUnknown`.
        """
        if not messages:
            return []
        before = self._trouble
        errors: list[Exception | None] = [await self._sent(subject, data) for subject, data in messages]
        broken = await self._round_trip() if None in errors else None
        refusals = self._trouble is not before
        for index, (subject, _) in enumerate(messages):
            if errors[index] is not None:
                continue
            if broken is not None:
                errors[index] = error = OutcomeUnknown(
                    f"The connection to NATS broke, or NATS did not answer {subject!r}."
                )
                error.__cause__ = broken
            elif refusals and self._denied(subject):
                errors[index] = self._refusal(subject)
        return errors

    async def _sent(self, subject: str, data: bytes) -> Exception | None:
        """Publish a message; what went wrong is given. It waits where the socket takes no more."""
        try:
            async with self._patience(subject, write=True):
                await self._publish(subject, data, "", None)
        except (BackplaneUnavailable, OutcomeUnknown) as error:
            return error
        return None

    async def _round_trip(self) -> Exception | None:
        """Return when the server has what was published before, or what kept it from that. All who wait share one."""
        if self._next_round is None:
            self._next_round = asyncio.get_running_loop().create_future()
            if self._rounds is None or self._rounds.done():
                self._rounds = asyncio.get_running_loop().create_task(self._make_rounds())
        return await asyncio.shield(self._next_round)

    async def _make_rounds(self) -> None:
        while self._next_round is not None:
            self._round, self._next_round = self._next_round, None
            try:
                await self.flush(self._timeout)
                self._end_round(None)
            except (Error, OSError) as error:
                self._end_round(error)

    async def flush(self, seconds: float) -> None:
        """Return when the server has all that was published and subscribed before. Raises nats-py's errors."""
        for _ in range(PASSES):
            if not self.client.pending_data_size:
                break
            await asyncio.sleep(0)
        # nats-py's ping overtakes what waits to be written. A second one does not: the first one's answer takes longer.
        for _ in range(2 if self.client.pending_data_size else 1):
            await self.client.flush(math.ceil(seconds))

    def _end_round(self, error: Exception | None) -> None:
        if self._round is not None and not self._round.done():
            self._round.set_result(error)

    async def _publish(self, subject: str, data: bytes, inbox: str, headers: dict[str, str] | None) -> None:
        try:
            await self.client.publish(subject, data, inbox, headers)
        except (ConnectionClosedError, OutboundBufferLimitError) as error:
            raise did_not_answer(BackplaneUnavailable("The connection to NATS is gone."), "NATS") from error
        except MaxPayloadError as error:  # less than the server of the connection before, whose limit was kept to
            raise BackplaneUnavailable(f"{len(data)} bytes are more than this NATS server takes.") from error
        except (Error, ValueError) as error:  # nats-py looks at all of it first, and then puts it in the line
            raise BackplaneUnavailable(f"The request {subject!r} can't be sent: {error_line(error)}") from error

    @contextmanager
    def _listening(self, hear: Callable[[Reply | None], None]) -> Iterator[str]:
        """The subject of an inbox whose messages ``hear`` is given."""
        number = str(next(self._numbers))
        self._waiting[number] = hear
        try:
            yield f"{self._inbox}.{number}"
        finally:
            del self._waiting[number]

    @asynccontextmanager
    async def _patience(self, subject: str, write: bool) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError as error:
            raise self._silence(subject, write) from error

    def _silence(self, subject: str, write: bool) -> BackplaneUnavailable | OutcomeUnknown:
        """The error for a request without an answer in time."""
        if self._denied(subject):
            return self._refusal(subject)
        said = f" It said last: {self._trouble}." if self._trouble is not None else ""
        return unanswered(f"NATS did not answer {subject!r} within {self._timeout:g} s.{said}", write)

    def _checked(self, subject: str, reply: Reply | None, write: bool) -> Reply:
        if reply is None:
            raise unanswered("The connection to NATS broke.", write)
        if reply.status == NO_RESPONDERS:
            raise BackplaneUnavailable(
                f"Nobody answers {subject!r} on NATS: its stream has no leader now, or JetStream is off, or {GONE}."
            )
        return reply

    async def _hear(self, message: Msg) -> None:
        hear = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if hear is not None:  # somebody who gave up is not there any more
            headers = message.headers or {}
            # A stored message may have a header of any name.
            status = "" if STORED in headers else headers.get(STATUS, "")
            hear(Reply(status, headers, message.data))

    async def _heard_of(self, error: Exception) -> None:
        self._trouble = error
        logger.info("NATS: %s", error)

    def _denied(self, subject: str) -> bool:
        """Whether the server said that we may not publish there: such a request has no answer, and was not sent on."""
        said = str(self._trouble).lower()
        return "permissions violation for publish" in said and f'"{subject.lower()}"' in said

    def _refusal(self, subject: str) -> BackplaneRefused:
        return BackplaneRefused(
            f"NATS does not allow {subject!r}: {self._trouble}. Give this user the rights that the manual names."
        )

    async def _closed(self) -> None:
        self._ended = True
        self._end_round(ConnectionClosedError())
        for hear in tuple(self._waiting.values()):
            hear(None)
        self.when_ended()

    async def close(self) -> None:
        """Whoever waits for an answer learns that none comes."""
        with contextlib.suppress(Exception):  # of one that was never made, too: its end is all that is wanted
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.client.close()
        await self._closed()


def unanswered(text: str, write: bool) -> BackplaneUnavailable | OutcomeUnknown:
    """The error for a request without an answer that says anything."""
    return did_not_answer(OutcomeUnknown(text) if write else BackplaneUnavailable(text), "NATS")
