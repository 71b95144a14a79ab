"""What a live place of a page is, and the id that is the same for it in every tab."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

Scalar = str | int | bool
Kind = Literal["text", "block"]
#: Who sees the same: everybody, one session, one user, or one visitor with session and user.
Audience = Literal["all", "session", "user", "visitor"]


class NodeSpec(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is watched: the declaration of a text (as ``"chat.Chat.count"``) or the name of a fragment, and its arguments.

    It says everything that the content depends on, save who looks at it, and nothing that is secret. ``arguments`` are sorted
    pairs, see `of`; ``filter`` is the name of the template filter of a text, ``prefix`` and ``suffix`` stand around it.
    """

    kind: Kind
    name: str
    arguments: tuple[tuple[str, Scalar], ...] = ()
    audience: Audience = "all"
    filter: str = ""
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def of(
        cls,
        kind: Kind,
        name: str,
        arguments: Mapping[str, Scalar],
        audience: Audience = "all",
        *,
        filter: str = "",
        prefix: str = "",
        suffix: str = "",
    ) -> NodeSpec:
        """The spec, whatever the order of the arguments."""
        return cls(kind, name, tuple(sorted(arguments.items())), audience, filter, prefix, suffix)

    @property
    def id(self) -> str:
        """Twelve characters, URL-safe. Raises UnicodeEncodeError where a text has lone surrogates."""
        digest = hashlib.blake2b(msgspec.json.encode(self), digest_size=9).digest()
        return base64.urlsafe_b64encode(digest).decode()
