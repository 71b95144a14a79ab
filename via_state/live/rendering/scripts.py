"""What a page has for the client script, and what it says about its visitor."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.request import HttpHeaders
from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError
from django.templatetags.static import static
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from via_state.conf import settings
from via_state.exceptions import DeclarationError
from via_state.live.protocol.frames import TOKEN_MOST
from via_state.live.rendering.code import hides_from_others
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.marking import csrf_of, visitor_of
from via_state.live.rendering.painting import painting
from via_state.live.visitors.tickets import make_personal
from via_state.live.visitors.tokens import digest, sign_ticket
from via_state.live.visitors.visitor import Visitor

SCRIPT, VALIDATE = "via_state/via-1.js", "via_state/via-validate-1.js"
LONGEST_GROUP = 100


def scripts(context: Context, request: HttpRequest | None) -> SafeString:
    """``{% via_scripts %}``: the script, with all that it needs to know. Write it into the head, once."""
    if request is None or painting.get() is not None:
        raise ImproperlyConfigured(
            "via_scripts belongs into the head of a page that is rendered with its request."
        )
    visitor = Visitor.of_request(request)
    make_personal(request)
    request._via_scripts = True  # type: ignore[attr-defined]
    ticket = sign_ticket(visitor.ticket)
    if len(ticket) > TOKEN_MOST:
        raise DeclarationError(
            f"This page is in {len(visitor.ticket.groups)} groups of broadcasts, whose names are too long together. Give fewer, or shorter ones."
        )
    data = {
        "page": ticket,
        "url": settings.LIVE_URL,
        "sleep": settings.LIVE_SLEEP,
        "poll": settings.LIVE_POLL,
        "csrf": csrf_of(request) if _csrf_is_free(request) else None,
        "unsent": gettext("This was not sent. Please try again."),
        "unknown": gettext("Nobody knows whether this arrived. Please look before you send it again."),
        "scripts": "1" if settings.LIVE_SCRIPTS is True else None,
    }
    attributes = "".join(
        f' data-via-{name}="{escape(_text(value))}"' for name, value in data.items() if value is not None
    )
    said = _nonce(context, request)
    return mark_safe(_script(SCRIPT, said + attributes) + _style(visitor, said))


def validation(context: Context, request: HttpRequest | None) -> SafeString:
    """``{% via_validate %}``: the script of forms with ``data-via-validate``. Write it once into a page that has such a form."""
    if request is None or painting.get() is not None:
        raise ImproperlyConfigured(
            "via_validate belongs into a page that is rendered with its request, beside its live blocks and not into one."
        )
    if not getattr(request, "_via_scripts", False):
        raise DeclarationError("via_validate needs via_scripts: write that before it, into the head.")
    from django.conf import settings as django_settings

    header = HttpHeaders.parse_header_name(django_settings.CSRF_HEADER_NAME) or ""
    return mark_safe(_script(VALIDATE, f'{_nonce(context, request)} data-via-header="{escape(header)}"'))


def _script(path: str, attributes: str) -> str:
    return f'<script type="module" src="{escape(static(path))}"{attributes}></script>'


def _nonce(context: Context, request: HttpRequest) -> str:
    nonce = nonce_of(context, request)
    return f' nonce="{escape(nonce)}"' if nonce else ""


def _style(visitor: Visitor, nonce: str) -> str:
    """What hides parts of shared blocks from all but one, where a block has such parts."""
    for fragment in fragments:
        with suppress(TemplateDoesNotExist, TemplateSyntaxError, ImproperlyConfigured):  # a check says so
            if fragment.shared and hides_from_others(fragment):
                mine = escape(mine_of(visitor.ticket.user))
                return f'<style{nonce}>[data-via-mine]:not([data-via-mine="{mine}"]){{display:none!important}}</style>'
    return ""


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _csrf_is_free(request: HttpRequest) -> bool:
    """Whether the token starts no session for somebody who only reads."""
    from django.conf import settings as django_settings

    session = getattr(request, "session", None)
    return not django_settings.CSRF_USE_SESSIONS or (session is not None and session.session_key is not None)


def nonce_of(context: Context, request: HttpRequest) -> str:
    """Of the page's Content-Security-Policy: Django's from 6.0 on, or django-csp's. Empty where there is none."""
    for found in (
        context.get("csp_nonce"),
        getattr(request, "csp_nonce", None),
        getattr(request, "_csp_nonce", None),
    ):
        if found is not None:
            return str(found)
    return ""


def mine(request: HttpRequest | None, owner: Any) -> SafeString:
    """``{% via_mine message.author_id %}``: an attribute of what only this user sees. It hides, and permits nothing."""
    owner = getattr(owner, "pk", owner)
    value = "" if owner is None else mine_of(str(owner))
    paint, hidden = painting.get(), ""
    if paint is None or not paint.shared:
        visitor = visitor_of(request)
        if visitor is None or value != mine_of(visitor.ticket.user) or not visitor.ticket.user:
            hidden = " hidden"
        if paint is None:
            make_personal(request)
    return mark_safe(f'data-via-mine="{escape(value)}"{hidden}')


def mine_of(user: str) -> str:
    """What stands for a user in pages, which does not say who it is."""
    return digest(f"user:{user}") if user else "-"


def group(request: HttpRequest | None, name: str) -> SafeString:
    """``{% via_group "staff" %}``: the page gets what is broadcast to this group. Write it before ``{% via_scripts %}``."""
    if request is None or painting.get() is not None:
        raise ImproperlyConfigured("via_group belongs into a page that is rendered with its request.")
    if getattr(request, "_via_scripts", False):
        raise DeclarationError(
            f"via_group {name!r} comes after via_scripts, which has said the page's groups already. Write it before."
        )
    name = str.__str__(name)
    visitor = Visitor.of_request(request)
    if not 0 < len(name) <= LONGEST_GROUP:
        raise DeclarationError(f"via_group {name!r:.50}: a name has from 1 to {LONGEST_GROUP} characters.")
    visitor.join(tuple(sorted({*visitor.ticket.groups, name})))
    return SafeString("")
