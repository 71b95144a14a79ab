"""What processes tell each other about their tabs: closed structures, since whoever writes to the carrier may say anything.

Pure. What a tab is told of it is a line of the protocol, see `line`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from via_state.live.announcing.audience import To

Level = Literal["info", "success", "warning", "error"]
LEVELS: tuple[str, ...] = get_args(Level)
#: Bytes of an announcement, encoded. Every carrier takes them.
MOST = 64_000

#: No ``__proto__``, and nothing that could be an attribute of ours.
NAME = r"^(?!constructor\Z|prototype\Z|data-via)[A-Za-z][A-Za-z0-9_.:-]{0,63}\Z"
Name = Annotated[str, msgspec.Meta(pattern=NAME)]
NodeId = Annotated[str, msgspec.Meta(max_length=12)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
Sender = Annotated[str, msgspec.Meta(max_length=32)]


class _Part(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, tag=True):
    pass


class Notice(_Part, frozen=True):
    """A text for the visitors to read."""

    text: str
    level: Level


class Signals(_Part, frozen=True):
    """Named texts."""

    values: Annotated[dict[Name, str], msgspec.Meta(min_length=1, max_length=100)]


class Code(_Part, frozen=True):
    """A script to run, where ``LIVE_SCRIPTS`` says so."""

    code: str


class Refresh(_Part, frozen=True):
    """What is shown in these nodes is made again, from data that is not state."""

    nodes: Annotated[tuple[NodeId, ...], msgspec.Meta(max_length=8)]


class End(_Part, frozen=True):
    """The session with this digest is over."""

    session: Annotated[str, msgspec.Meta(max_length=16)]


class Recheck(_Part, frozen=True):
    """What these visitors may see has changed, perhaps."""

    to: To


class Latest(_Part, frozen=True):
    """Nothing new: the number is that of the last announcement before."""


class Again(_Part, frozen=True):
    """A hearer lacks announcements of ``sender``, who is asked for them."""

    sender: Sender
    numbers: Annotated[tuple[Count, ...], msgspec.Meta(max_length=100)]


Content: TypeAlias = Notice | Signals | Code
What: TypeAlias = Content | Refresh | End | Recheck | Latest | Again


class Announcement(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """``number`` counts what a sender said. ``to`` is for `Content` alone."""

    sender: Sender
    number: Count
    what: What
    to: To = To("all")


_decoder = msgspec.msgpack.Decoder(Announcement)
encode = msgspec.msgpack.encode


def decode(data: bytes) -> Announcement:
    """Raises `msgspec.MsgspecError`, `RecursionError`."""
    found: Announcement = _decoder.decode(data)
    return found


def line(sender: str, number: int, content: Content) -> str:
    """What a tab is told. ``id`` is the same in every tab."""
    told: dict[str, object] = {"id": f"{sender}.{number}"}
    match content:
        case Notice(text, level):
            told |= {"kind": "notify", "text": text, "level": level}
        case Signals(values):
            told |= {"kind": "signals", "values": values}
        case Code(code):
            told |= {"kind": "script", "code": code}
    return msgspec.json.encode({"b": told}).decode()
