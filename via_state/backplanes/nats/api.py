"""The requests of JetStream that we make, over one connection.

nats-py has no batched direct reads, and waits for each answer with a timeout of its own; these are few, and plain JSON.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from via_state.backplanes.nats.connection import GONE, Connection
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable

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


def refusal(status: int, code: int, text: str) -> Refused:
    """The error for an answer with this status (as of HTTP) and code. What is gone may be restored; what is wrong stays so."""
    lasting = 400 <= status < 500 and status != 404 and code not in _PASSING
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
    reply = await connection.request(f"$JS.API.{verb}", msgspec.json.encode(body) if body else b"", write=write)
    return _answer(reply.data)


async def publish(connection: Connection, subject: str, headers: dict[str, str], data: bytes) -> int:
    """Store a message; its sequence number. Raises as `call` does for a write."""
    answer = _answer((await connection.request(subject, data, headers, write=True)).data)
    return int(answer["seq"])


async def get(connection: Connection, stream: str, **which: Any) -> Message | None:
    """A message from the leader: ``seq=``, ``last_by_subj=``, or ``seq=`` with ``next_by_subj=`` for the first from there."""
    try:
        found = (await call(connection, f"STREAM.MSG.GET.{stream}", which))["message"]
    except Refused as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    headers = _headers(base64.b64decode(found.get("hdrs", "")))
    data = base64.b64decode(found.get("data", ""))
    return Message(found["subject"], found["seq"], parse_time(found["time"]), headers, data)


async def get_many(connection: Connection, stream: str, **which: Any) -> Found:
    """Messages from any server of the stream: ``seq=``, ``next_by_subj=``, ``batch=``, or ``multi_last=`` for several
    subjects' last ones; ``max_bytes=``.
    """
    subject = f"$JS.API.DIRECT.GET.{stream}"
    messages: list[Message] = []
    async for reply in connection.request_many(subject, msgspec.json.encode(which)):
        headers, status = reply.headers, reply.status
        if not status:
            messages.append(
                Message(
                    headers["Nats-Subject"],
                    int(headers["Nats-Sequence"]),
                    parse_time(headers["Nats-Time-Stamp"]),
                    headers,
                    reply.data,
                )
            )
        elif status == END_OF_BATCH:
            return Found(
                messages, int(headers.get("Nats-Num-Pending", 0)), int(headers.get("Nats-Last-Sequence", 0))
            )
        elif status == NOT_FOUND:
            return Found(messages, 0, 0)
        else:
            raise refusal(int(status), int(status), headers.get("Description", "a batched read"))
    raise AssertionError("a batch ends with a status")


def parse_time(text: str) -> datetime:
    """A time of the server, without what is below a microsecond."""
    return datetime.fromisoformat(text)


def format_time(time: datetime) -> str:
    """As the server reads it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


TICK = timedelta(microseconds=1)


def _answer(data: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as problem:
        raise BackplaneUnavailable(f"Not JetStream answered: {data[:100]!r}") from problem
    if error := answer.get("error"):
        status = int(error.get("code", 0))
        raise refusal(status, int(error.get("err_code", status)), str(error.get("description", "")))
    return answer


def _headers(block: bytes) -> dict[str, str]:
    lines = block.decode().split("\r\n")[1:]
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
