"""What a node shows, as tabs are told it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from via_state.live.protocol.content import Content
from via_state.live.protocol.delta import plain
from via_state.live.protocol.frames import Frame, text_frame, whole_frame
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import Vector
from via_state.live.rendering.renderer import code_of


class Painted(NamedTuple):
    """``etag`` is the same for the same content of the same code; ``keys`` are the names in ``at``, sorted."""

    body: str | None
    etag: str
    at: Vector
    keys: tuple[str, ...]
    code: str

    @classmethod
    def of(cls, spec: NodeSpec, content: Content) -> Painted:
        """What a render gave."""
        body, code = None if content.body is None else plain(content.body), code_of(spec)
        return cls(body, _etag(code, body), content.at, tuple(sorted(content.watched)), code)

    def whole(self, spec: NodeSpec) -> Frame:
        """The frame that tells all of it."""
        if spec.kind == "text":
            return text_frame(spec.id, self.at, self.body)
        return whole_frame(spec.id, self.at, self.body or "", self.etag)


def _etag(code: str, body: str | None) -> str:
    said = f"{code}\0{'' if body is None else body}\0{body is None}"
    return hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
