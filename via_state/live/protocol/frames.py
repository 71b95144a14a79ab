"""The protocol ``via.1``: lines of JSON, several in one text message. What a tab says, and what it is told.

A tab opens with ``hello``: its page's ticket, and the token, position vector and etag of each of its nodes. It says ``add`` and
``drop`` when nodes come and go, ``add`` again for a node of which it lacks something, ``ack``, ``ping``. It is told ``f``: frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from via_state.live.protocol.delta import Delta
from via_state.live.protocol.vector import Count, Place, Vector

PROTOCOL = "via.1"
#: What a silent server sends, so that the client can tell that it is there.
BEAT = ""
PONG = '{"pong":1}'
#: Lines in one message from a tab.
MAX_LINES = 16

Id = Annotated[str, msgspec.Meta(max_length=12)]
#: Of a token; the longest that is issued is about half of it.
TOKEN_MOST = 4096
Token = Annotated[str, msgspec.Meta(max_length=TOKEN_MOST)]
Etag = Annotated[str, msgspec.Meta(max_length=16)]
#: A wire key: its name and its parameters are 400 characters at most.
Key = Annotated[str, msgspec.Meta(max_length=512)]

Why = Literal["denied", "missing"]
Refusal = Literal["token", "limit"]
Farewell = Literal["drain", "reload", "signed-out"]


class Garbage(ValueError):
    """What came is not of this protocol. Its connection is closed."""


class Asked(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A node that a tab shows: what its token allows, up to where it is painted, and of which frame."""

    token: Token
    at: dict[Key, Place]
    etag: Etag = ""


class Message(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One line from a tab. Exactly one of the verbs ``hello``, ``add``, ``drop``, ``ack`` and ``ping`` is set."""

    #: The page's ticket; with it come ``nodes``, whether the socket compresses, and for how many seconds the tab was away.
    hello: Token | None = None
    nodes: list[Asked] = []
    deflate: bool = False
    away: Annotated[float, msgspec.Meta(ge=0)] = 0
    add: list[Asked] | None = None
    drop: list[Id] | None = None
    ack: Count | None = None
    ping: Literal[1] | None = None


_decoder = msgspec.json.Decoder(Message)


def decode(text: object, most: int) -> list[Message]:
    """The lines of a message of at most ``most`` bytes. Raises `Garbage`, for binary too."""
    if not isinstance(text, str):
        raise Garbage("A message is binary.")
    if len(text) > most:
        raise Garbage("A message is too long.")
    try:
        raw = text.encode()
        if len(raw) > most:
            raise Garbage("A message is too long.")
        lines = raw.split(b"\n", MAX_LINES)
        if len(lines) > MAX_LINES:
            raise Garbage("A message has too many lines.")
        messages = [_decoder.decode(line) for line in lines]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Garbage("A message can't be decoded.") from None
    if not all(map(_has_one_verb, messages)):
        raise Garbage("A message has no verb, or several.")
    return messages


def _has_one_verb(message: Message) -> bool:
    verbs = (message.hello, message.add, message.drop, message.ack, message.ping)
    companions = message.nodes or message.deflate or message.away
    return sum(verb is not None for verb in verbs) == 1 and (message.hello is not None or not companions)


# To the tab ---------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """What a tab is told of one node. ``kind`` is for people."""

    kind: str
    raw: msgspec.Raw

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(bytes(self.raw))


#: What ``kind`` may be, by the sign that a tab is told.
KINDS = {
    "t": "text",
    "h": "whole",
    "d": "delta",
    "=": "same",
    "r": "rewritten",
    "k": "token",
    "s": "stale",
    "x": "gone",
}


def _frame(id: str, at: Vector, sign: str, *rest: object) -> Frame:
    return Frame(KINDS[sign], msgspec.Raw(msgspec.json.encode([id, at, sign, *rest])))


def text_frame(id: str, at: Vector, text: str | None) -> Frame:
    """A new text or attribute; None removes the attribute."""
    return _frame(id, at, "t", text)


def whole_frame(id: str, at: Vector, html: str, etag: str) -> Frame:
    """A whole block."""
    return _frame(id, at, "h", html, etag)


def delta_frame(id: str, at: Vector, base: str, delta: Delta, etag: str) -> Frame:
    """A block, told by what it differs in from the frame that had the etag ``base``."""
    return _frame(id, at, "d", base, *delta, etag)


def same_frame(id: str, at: Vector) -> Frame:
    """The content is as it was; only the position has moved."""
    return _frame(id, at, "=")


def rewritten_frame(id: str) -> Frame:
    """The history was proven to be another one: what follows counts, though it may seem to be older than what is shown."""
    return _frame(id, {}, "r")


def token_frame(id: str, token: str) -> Frame:
    """The node's next token, before the last one ends."""
    return _frame(id, {}, "k", token)


def stale_frame(id: str) -> Frame:
    """What is shown can't be followed for now: a render failed, the key is halted, or this process is behind the page."""
    return _frame(id, {}, "s")


def gone_frame(id: str, why: Why) -> Frame:
    """The node is no longer shown to this visitor (``denied``), or is no longer there (``missing``)."""
    return _frame(id, {}, "x", why)


def frames_line(frames: Sequence[Frame]) -> str:
    """A line with frames."""
    return _line(f=[one.raw for one in frames])


def welcome_line(pod: str, spread: int, ticket: str | None = None) -> str:
    """The answer to ``hello``. ``spread``: a tab that loses its socket comes back within so many milliseconds, at random.

    Another one may follow, with the page's next ``ticket``.
    """
    hi: dict[str, Any] = {"pod": pod, "spread": spread}
    return _line(hi=hi if ticket is None else {**hi, "page": ticket})


def refusal_line(token: str, why: Refusal) -> str:
    """What a token names is not served. The last twelve characters tell which one it was."""
    return _line(no=[token[-12:], why])


def bye_line(why: Farewell, within: int = 0) -> str:
    """The connection is about to end. ``drain``: the tab comes back within so many milliseconds, at random; else the page is loaded again after them."""
    return _line(bye={"why": why, "in": within})


def _line(**what: Any) -> str:
    return msgspec.json.encode(what).decode()


def message_of(lines: Iterable[str]) -> str:
    """Several lines in one message."""
    return "\n".join(lines)
