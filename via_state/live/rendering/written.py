"""Where the state is that a request wrote, as its page says it: so that what a form promised goes when the page shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from django.http import HttpRequest

from via_state.core.offsets import Offset
from via_state.core.records import Position, Revision
from via_state.exceptions import NotFollowed
from via_state.live.protocol.vector import Place
from via_state.live.visitors.visitor import Visitor

#: What a form that is sent in place says of itself, and what its answer says.
ASKED, AT = "X-Via", "X-Via-At"


def in_place(request: HttpRequest) -> bool:
    """Whether a page sent a form by itself, and stays."""
    return bool(request.headers.get(ASKED) == "form")


def vector_of(request: HttpRequest, written: Mapping[str, Offset | Revision]) -> str:
    """The position vector of these writes, by wire key, as ASCII."""
    names, found = Visitor.of_request(request).names, {}
    for key, at in written.items():
        with suppress(NotFollowed):  # of another visitor: no page of this one shows it
            found[names.of(key)] = _place(at)
    return json.dumps(found, separators=(",", ":"))


def _place(at: Offset | Revision) -> Place:
    if isinstance(at, Offset):
        return Place.of_log(Position(at.epoch, int(at), ""))
    return Place.of_cell(at)
