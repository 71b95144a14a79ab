"""The requests of JetStream that we make, over one connection.

nats-py has no batched direct reads, and waits for each answer with a timeout of its own; these are few, and plain JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from via_state.backplanes.nats.connection import GONE, Connection, Reply, unanswered
from via_state.backplanes.nats.headers import headers_of
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable, OutcomeUnknown

#: Codes of errors of JetStream.
NO_MESSAGE = 10037
STREAM_NOT_FOUND = 10059
TOO_LARGE = 10054
WRONG_LAST_SEQUENCE = (10071, 10164)

END_OF_BATCH = "204"
NOT_FOUND = "404"


class Refused(BackplaneUnavailable):
    """JetStream answered, and said no. ``code`` is its error code."""

    def __init__(self, code: int, text: str) -> None:
        if code == STREAM_NOT_FOUND:
            text = GONE
        super().__init__(f"NATS refused: {text} (error {code})")
        self.code = code


class Denied(Refused, BackplaneRefused):
    """A `Refused` that waiting does not change: the request is wrong, too large, or not allowed."""


#: Codes of errors that are numbered as wrong requests, and pass: too few servers for the replicas, the limits of the account.
_PASSING = (10002, 10005)
#: Those of the server's own fault that stay all the same: replicas, and it is not one of a cluster.
_STAYING = (10074,)


def refusal(status: int, code: int, text: str) -> Refused:
    """The error for an answer with this status (as of HTTP) and code. What is gone may be restored; what is wrong stays so."""
    lasting = code in _STAYING or (400 <= status < 500 and status != 404 and code not in _PASSING)
    return (Denied if lasting else Refused)(code, text)


class Message(NamedTuple):
    """A stored message. ``time`` is the server's, when it was stored."""

    subject: str
    seq: int
    time: datetime
    headers: dict[str, str]
    data: bytes


class Found(NamedTuple):
    """A part of a stream as one of its servers has it, which may lag behind: messages that follow each other.

    ``pending``: how many more it has. ``last_seq``: the last message it has, of any subject; 0 if it does not say.
    """

    messages: list[Message]
    pending: int
    last_seq: int


async def call(
    connection: Connection, verb: str, body: dict[str, Any] | None = None, write: bool = False
) -> dict[str, Any]:
    """An administrative request. Raises `Refused`, `BackplaneUnavailable` and, when ``write``, `OutcomeUnknown`."""
    reply = await connection.request(
        f"{connection.api}{verb}", msgspec.json.encode(body) if body else b"", write=write
    )
    return _answer(reply.data, write)


async def publish(connection: Connection, subject: str, headers: dict[str, str], data: bytes) -> int:
    """Store a message; its sequence number. Raises as `call` does for a write."""
    return _stored((await connection.request(subject, data, headers, write=True)).data)


async def publish_each(
    connection: Connection, messages: Sequence[tuple[str, bytes, dict[str, str]]]
) -> list[int | Exception]:
    """Store several messages, each a subject, data and headers: for each what `publish` gives, or would raise."""
    found: list[int | Exception] = []
    for reply in await connection.request_each(messages):
        try:
            if isinstance(reply, Exception):
                raise reply
            found.append(_stored(reply.data))
        except (BackplaneUnavailable, OutcomeUnknown) as error:
            found.append(error)
    return found


def _stored(said: bytes) -> int:
    try:
        return int(_answer(said, write=True)["seq"])
    except (KeyError, TypeError, ValueError) as error:
        raise _misunderstood(said, write=True) from error


async def get(connection: Connection, stream: str, **which: Any) -> Message | None:
    """A message from the leader: ``seq=``, ``last_by_subj=``, or ``seq=`` with ``next_by_subj=`` for the first from there."""
    try:
        answer = await call(connection, f"STREAM.MSG.GET.{stream}", which)
    except Refused as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    try:
        found = answer["message"]
        headers = headers_of(base64.b64decode(found.get("hdrs", "")))
        data = base64.b64decode(found.get("data", ""))
        return Message(found["subject"], found["seq"], parse_time(found["time"]), headers, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _misunderstood(msgspec.json.encode(answer), write=False) from error


async def get_many(connection: Connection, stream: str, **which: Any) -> Found:
    """Messages from any server of the stream: ``seq=``, ``next_by_subj=``, ``batch=``, or ``multi_last=`` for several
    subjects' last ones; ``max_bytes=``.
    """
    subject = f"{connection.api}DIRECT.GET.{stream}"
    messages: list[Message] = []
    for reply in await connection.request_many(subject, msgspec.json.encode(which)):
        try:
            if (found := _part(messages, reply)) is not None:
                return found
        except (KeyError, ValueError) as error:
            raise _misunderstood(repr(reply.headers).encode(), write=False) from error
    raise BackplaneUnavailable(f"An answer of NATS to {subject!r} broke off.")


def _part(messages: list[Message], reply: Reply) -> Found | None:
    """One more message, put to the others; or the end."""
    headers, status = reply.headers, reply.status
    if not status:
        time = parse_time(headers["Nats-Time-Stamp"])
        messages.append(Message(headers["Nats-Subject"], int(headers["Nats-Sequence"]), time, headers, reply.data))
        return None
    if status == END_OF_BATCH:
        # The last message in the answer; and for last messages of subjects, the last one of the stream when the server looked.
        looked = (int(headers.get(name, 0)) for name in ("Nats-Last-Sequence", "Nats-UpTo-Sequence"))
        return Found(messages, int(headers.get("Nats-Num-Pending", 0)), max(looked))
    if status == NOT_FOUND:
        return Found(messages, 0, 0)
    raise refusal(int(status), int(status), headers.get("Description", "a batched read"))


def parse_time(text: str) -> datetime:
    """A time of the server, without what is below a microsecond."""
    return datetime.fromisoformat(text)


def format_time(time: datetime) -> str:
    """As the server reads it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


TICK = timedelta(microseconds=1)


def _answer(data: bytes, write: bool) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data, type=dict[str, Any])
        if not (error := answer.get("error")):
            return answer
        status = int(error.get("code", 0))
        said = refusal(status, int(error.get("err_code", status)), str(error.get("description", "")))
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError) as problem:
        raise _misunderstood(data, write) from problem
    raise said


def _misunderstood(data: bytes, write: bool) -> BackplaneUnavailable | OutcomeUnknown:
    """Somebody answered, and what became of a write is not known."""
    return unanswered(f"Expected a JetStream response, got {data[:100]!r}", write)
