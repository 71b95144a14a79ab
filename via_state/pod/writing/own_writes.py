"""What a visitor wrote, as a signed text that their browser brings back: to be waited for by their next requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from django.core import signing

from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.pod.reading.awaited_reads import digest_of
from via_state.pod.writing.tracked_writes import TrackedWrite

#: Purpose and version of the text.
SALT = "via_state.own_writes.1"
#: Seconds that a write is waited for; by then every pod has heard of it, or will not for longer than anybody waits.
AGE = 10
#: Of more keys the newest are kept.
MOST = 5

_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Number = Annotated[int, msgspec.Meta(ge=0)]
#: Digest of the key, epoch, offset, and the empty text; or the digest, the empty text, and the revision.
_Row = tuple[_Text, _Text, _Number, _Text]


def seal(before: Mapping[str, Offset | Revision], writes: Mapping[str, TrackedWrite]) -> str:
    """The text for what was written now, and ``before``."""
    rows = dict(before)
    for key, write in writes.items():
        rows.pop(digest := digest_of(key), None)
        rows[digest] = write.at
    return signing.dumps([_row(digest, at) for digest, at in list(rows.items())[-MOST:]], salt=SALT)


def unseal(text: str | None) -> dict[str, Offset | Revision]:
    """What was sealed, by `digest_of` each key; nothing of what is forged or too old."""
    if text is None:
        return {}
    try:
        rows = msgspec.convert(signing.loads(text, salt=SALT, max_age=AGE), list[_Row])
    except (signing.BadSignature, msgspec.ValidationError, ValueError):
        return {}
    return {
        digest: Offset(number, epoch) if epoch else Revision(number, write_id)
        for digest, epoch, number, write_id in rows
    }


def _row(digest: str, at: Offset | Revision) -> _Row:
    return (digest, at.epoch, int(at), "") if isinstance(at, Offset) else (digest, "", at.number, at.write_id)
