"""How a live place is written in a page: its content, and beside it what the client needs to follow it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings as django_settings
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.utils import timezone, translation
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from via_state.exceptions import NotBound, NotFollowed
from via_state.live.protocol.content import Gone
from via_state.live.protocol.frames import TOKEN_MOST
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import Place, Vector, dumps
from via_state.live.rendering.blocks import fragment_of
from via_state.live.rendering.contexts import CSRF, personal
from via_state.live.rendering.painting import painting
from via_state.live.rendering.renderer import code_of, permitted, render
from via_state.live.rendering.texts import Text
from via_state.live.visitors.locales import name_of_zone
from via_state.live.visitors.tickets import issue_time, make_personal
from via_state.live.visitors.tokens import NodeToken, Ticket
from via_state.live.visitors.visitor import Visitor

#: Where a node is that is left empty: as nothing ever is, so that the client is sent its content.
UNPAINTED: Vector = {"": Place("", 0, "")}


class Marked(NamedTuple):
    """``attributes`` of the element, with a space before each; ``body`` is None for an attribute that is absent, or left empty."""

    attributes: str
    body: str | None = None


def marked(spec: NodeSpec, request: HttpRequest | None, *, plain: bool = False, empty: bool = False) -> Marked:
    """A node, as the page or the block that is being rendered needs it.

    ``plain``: without what a client needs. ``empty``: the page can't have its content, so the client asks for it.

    Raises what `render` raises, but for `Gone`: such a place is empty.
    """
    visitor = visitor_of(request)
    if visitor is None and bound(spec):
        raise NotBound(
            f"{spec.name!r} is rendered for a visitor, and there is no request here. Render the template with the request."
        )
    if (paint := painting.get()) is not None:
        if paint.shared and bound(spec):
            raise personal("this block", f"{spec.name!r}, which is not the same for all")
        if not paint.inline or empty:
            return Marked(_unpainted(spec, paint.visitor))
    elif bound(spec):
        make_personal(request)
    who = anybody() if visitor is None else visitor
    try:
        if spec.audience == "all" and not permitted(spec, who):
            raise Gone("denied")
        content = render(spec, who, inline=True)
    except Gone as gone:
        return Marked(f' data-via-gone="{gone.why}"', "" if spec.kind == "block" else None)
    body = content.body
    if body is not None and paint is None and request is not None and spec.kind == "block" and f'"{CSRF}"' in body:
        body = body.replace(f'"{CSRF}"', f'"{csrf_of(request)}"')
    if plain:
        return Marked("", body)
    if empty:
        return Marked(_unpainted(spec, who))
    return Marked(_attributes(spec, who, content.at, tuple(sorted(content.at))), body)


def bound(spec: NodeSpec) -> bool:
    """Whether a token of this node is good for one visitor alone. Raises `Gone`."""
    return spec.audience != "all" or (spec.kind == "block" and fragment_of(spec).allow is not None)


def _unpainted(spec: NodeSpec, visitor: Visitor) -> str:
    """The attributes of an element that is left empty."""
    text = Text.of(spec, visitor.names) if spec.kind == "text" else None
    names = () if text is None or text.watched is None else (text.name,)
    # An element that follows state is out of date until its frame comes. A text that follows none would be taken to be whole.
    at = {} if names or text is None else UNPAINTED
    return _attributes(spec, visitor, at, names)


def _attributes(spec: NodeSpec, visitor: Visitor, at: Vector, names: tuple[str, ...]) -> str:
    audience = visitor.ticket.audience if bound(spec) else ""
    token = NodeToken(spec, audience, names, issue_time(), code_of(spec)).sign()
    if len(token) > TOKEN_MOST:
        raise NotFollowed(
            f"The arguments of {spec.name!r} and the names of the {len(names)} keys that it reads are too long for one token. Give shorter "
            "ones, or render less in one live block."
        )
    return f' data-via="{token}" data-via-id="{spec.id}" data-via-at="{escape(dumps(at))}"'


def visitor_of(request: HttpRequest | None) -> Visitor | None:
    """Who looks at what is being rendered."""
    if (paint := painting.get()) is not None:
        return paint.visitor
    return None if request is None else Visitor.of_request(request)


def anybody() -> Visitor:
    """Somebody of whom nothing is known but the language and the time zone of now."""
    language = translation.get_language() or django_settings.LANGUAGE_CODE
    return Visitor.of_ticket(Ticket(language=language, timezone=name_of_zone(timezone.get_current_timezone())))


def csrf_of(request: HttpRequest) -> str:
    """The CSRF token of this answer: the same text wherever it is written."""
    found: str | None = getattr(request, "_via_csrf", None)
    if found is None:
        found = request._via_csrf = get_token(request)  # type: ignore[attr-defined]
    return found


def element(tag: str, found: Marked, *, html: bool) -> SafeString:
    """The whole element. A text is escaped; the markup of a block is as it is."""
    body: Any = found.body or ""
    return mark_safe(f"<{tag}{found.attributes}>{body if html else escape(body)}</{tag}>")
