"""What is kept beside the event in a record: its fourth element, which code that knows nothing of it passes over."""

from __future__ import annotations

import msgspec


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Facts about an append, the same for each of its records. Unknown names in stored metadata are ignored.

    ``time``: when the append was made, in milliseconds since 1970 by the clock of its process; 0 where it is not known. It is for people
    and for ages, never for the order of events.
    """

    time: int = msgspec.field(default=0, name="t")


NOTHING = Metadata()


class _Envelope(msgspec.Struct, array_like=True, gc=False):
    name: str
    version: int
    payload: msgspec.Raw
    metadata: Metadata = NOTHING


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPES = msgspec.json.Decoder(_Envelope)


def metadata_of(data: bytes, count: int, index: int) -> Metadata:
    """The metadata of one record of a pack of ``count``; whatever the data is, it has an answer."""
    try:
        raws = _RAWS.decode(data)
        return _ENVELOPES.decode(raws[index]).metadata if len(raws) == count else NOTHING
    except (ValueError, IndexError, RecursionError, msgspec.MsgspecError):
        return NOTHING
