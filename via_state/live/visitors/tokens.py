"""What a page hands to the visitor's browser, and takes back: tokens of nodes, and the ticket of the page.

Both are JSON, signed by `django.core.signing` with ``SECRET_KEY`` and its fallbacks, under a salt for each purpose and version. Everything
that the server acts on is in them. They can be read by whoever sees them, and say nothing secret. A signature is no
permission: who may see a node is asked for the *connection's* visitor.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Annotated, TypeVar

import msgspec
from django.core import signing

from via_state.live.protocol.frames import TOKEN_MOST, Key
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import Short

#: Purpose and version of what begins with this letter.
_SALTS = {"t": "via_state.live.text.1", "b": "via_state.live.block.1", "p": "via_state.live.page.1"}
_LETTERS = {"text": "t", "block": "b"}
#: By how many seconds the clock of another process may be ahead.
SKEW = 60

Seconds = Annotated[int, msgspec.Meta(ge=0)]
T = TypeVar("T")


class TokenRefused(Exception):
    """A token or a ticket that does not count. ``why``, which no visitor is told: "forged", "old" or "other" (of another visitor, or for
    another purpose)."""

    def __init__(self, why: str) -> None:
        super().__init__("The token is not valid.")
        self.why = why


class Ticket(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Who opened a page, and how it is rendered for them.

    ``session`` and ``login`` are digests of the session's key and of its authentication hash, ``sid`` is the id under which state of the
    session is stored; all are empty where there is none. ``user`` is the primary key as text.
    """

    user: str = ""
    session: str = ""
    login: str = ""
    sid: str = ""
    language: str = ""
    timezone: str = ""
    path: str = ""
    groups: tuple[str, ...] = ()
    issued: Seconds = 0

    @property
    def audience(self) -> str:
        """What binds tokens to this visitor and this login; the same on all of their pages."""
        return digest(msgspec.json.encode([self.user, self.session, self.login, self.sid]).decode())


class NodeToken(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What a tab may watch.

    ``audience`` is that of the ticket, or empty where everybody may. ``keys`` are the wire names of the state that the content was made
    of, as in its position vector. ``code`` stands for the template and the function that made it: of other code it is made again.
    """

    spec: NodeSpec
    audience: Short
    keys: tuple[Key, ...]
    issued: Seconds
    code: Short = ""

    def sign(self) -> str:
        """The token as text."""
        return _sign(_LETTERS[self.spec.kind], self)


def digest(secret: str) -> str:
    """Sixteen characters that stand for a long random text and don't tell it; of the empty text the empty one.

    It does not depend on ``SECRET_KEY``, so that pages and processes agree while that is being changed.
    """
    if not secret:
        return ""
    return base64.urlsafe_b64encode(
        blake2b(secret.encode(), digest_size=12, person=b"via_state.live").digest()
    ).decode()


def sign_ticket(ticket: Ticket) -> str:
    """The ticket as text."""
    return _sign("p", ticket)


def open_ticket(text: str, now: float, age: float) -> Ticket:
    """The ticket, if it was issued at most ``age`` seconds before ``now``. Raises `TokenRefused`."""
    letter, ticket = _open(text, Ticket)
    if letter != "p":
        raise TokenRefused("other")
    _refuse_old(ticket.issued, now, age)
    return ticket


def open_token(text: str, audience: str, now: float, age: float) -> NodeToken:
    """The token, if it was issued for this audience, at most ``age`` seconds before ``now``. Raises `TokenRefused`."""
    letter, token = _open(text, NodeToken)
    kind_matches = letter == _LETTERS[token.spec.kind]
    if not kind_matches or token.audience not in ("", audience):
        raise TokenRefused("other")
    _refuse_old(token.issued, now, age)
    return token


def _refuse_old(issued: int, now: float, age: float) -> None:
    if not now - age <= issued <= now + SKEW:
        raise TokenRefused("old")


def _sign(letter: str, what: msgspec.Struct) -> str:
    payload = base64.urlsafe_b64encode(msgspec.json.encode(what)).decode().rstrip("=")
    return letter + _signer(letter).sign(payload)


def _open(text: str, kind: type[T]) -> tuple[str, T]:
    letter = text[:1]
    if letter not in _SALTS or len(text) > TOKEN_MOST or not text.isascii():
        raise TokenRefused("forged")
    try:
        payload = _signer(letter).unsign(text[1:])
        raw = base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", validate=True)
        return letter, msgspec.json.decode(raw, type=kind)
    except (signing.BadSignature, binascii.Error, msgspec.MsgspecError, ValueError):
        raise TokenRefused("forged") from None


def _signer(letter: str) -> signing.Signer:
    return signing.Signer(salt=_SALTS[letter])
