"""What a tab is told that gets no socket: it asks by POST, now and then, what a hub would tell it at once. Also under WSGI."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from via_state.conf import settings
from via_state.exceptions import ViaStateError
from via_state.live.protocol.content import Gone, place
from via_state.live.protocol.frames import (
    Asked,
    Frame,
    Garbage,
    Message,
    bye_line,
    decode,
    frames_line,
    gone_frame,
    message_of,
    refusal_line,
    rewritten_frame,
    same_frame,
    stale_frame,
    welcome_line,
)
from via_state.live.protocol.limits import MESSAGES_BURST, MESSAGES_RATE
from via_state.live.protocol.vector import Order, compare
from via_state.live.rendering.renderer import apermitted, arender, code_of, locate
from via_state.live.serving.allowances import Allowances
from via_state.live.serving.handshake import Refused, token_of, visitor_of
from via_state.live.serving.hub import tell_sent
from via_state.live.serving.logins import logins
from via_state.live.serving.origin import of_this_site
from via_state.live.serving.painted import Painted
from via_state.live.serving.refusals import fragment_failed, refuse
from via_state.live.visitors.signed_in import Login, over
from via_state.live.visitors.tokens import NodeToken, Ticket, TokenRefused
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import current_pod

logger = logging.getLogger("via_state.live")

#: How often the tabs of a session may ask: as often as a tab may say something on its socket.
askers = Allowances(MESSAGES_BURST, MESSAGES_RATE)


@csrf_exempt
async def resume(request: HttpRequest) -> HttpResponse:
    """The answer to a ``hello`` is what the socket would say to it. It changes nothing, so it needs no token of Django's."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not of_this_site(str(request.scheme), request.get_host(), request.headers.get("Origin")):
        refuse("origin", "Its page is of another site; see ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS.")
        return _answer("", 403)
    try:
        message = _hello(request)
        session = request.COOKIES.get(django_settings.SESSION_COOKIE_NAME, "")
        visitor = visitor_of(
            message.hello or "", session, host=request.get_host(), secure=bool(request.is_secure())
        )
    except Garbage as error:
        refuse("garbage", str(error))
        return _answer("", 400)
    except Refused as refused:
        refuse(refused.why, "Its page was opened by somebody else, or long ago.")
        return _answer(bye_line(refused.why))
    # Without a session nobody is told from others: what they may see is the same for all.
    if visitor.ticket.session and not askers.allow(visitor.ticket.session, time.monotonic()):
        refuse("limit", "Somebody asks more often than a tab does.")
        return _answer("", 429)
    if await _is_over(visitor.ticket, session):
        refuse("signed-out", "The login of its page is over.")
        return _answer(bye_line("signed-out"))
    lines = [welcome_line(current_pod().pod_id, 1000)]
    frames: list[Frame] = []
    for asked in message.nodes[: settings.LIVE_NODES]:
        try:
            token = token_of(asked.token, visitor.ticket, time.time())
        except TokenRefused:
            lines.append(refusal_line(asked.token, "token"))
            continue
        frames += await _frames(token, asked, visitor)
    if frames:
        lines.append(frames_line(frames))
        tell_sent(Counter(one.kind for one in frames), len(lines[-1]))
    return _answer(message_of(lines))


async def _is_over(ticket: Ticket, session: str) -> bool:
    """Whether the visitor is no longer signed in: asked each ``LIVE_RECHECK``, as for tabs with a socket. False where that can't be told."""
    now = time.monotonic()
    if not ticket.session or logins.proven(ticket.session, now, settings.LIVE_RECHECK):
        return False
    login = Login.of(ticket, session)
    try:
        if login in await sync_to_async(over)({login}):
            logins.doubt(ticket.session)
            return True
    except Exception as error:
        logger.warning("Whether a visitor is still signed in can't be told: %r", error)
    else:
        logins.prove(ticket.session, now)
    return False


async def _frames(token: NodeToken, asked: Asked, visitor: Visitor) -> list[Frame]:
    spec, pod = token.spec, current_pod()
    try:
        watched = locate(spec, token.keys, visitor)
        if not await apermitted(spec, visitor):
            raise Gone("denied")
        order = Order.BEHIND
        if asked.at.keys() == watched.keys() and watched and token.code == code_of(spec):
            for proven in (False, True):
                if proven:
                    async with asyncio.timeout(settings.LIVE_WAIT):
                        await asyncio.gather(*(pod.alook(*one) for one in watched.values()))
                here = {name: place(one.spec, await pod.ashown(*one)) for name, one in watched.items()}
                order = compare(asked.at, here)
                if order <= Order.BEHIND:
                    break
        if order is Order.SAME:
            return [same_frame(spec.id, asked.at)]
        content = await arender(spec, visitor)
    except Gone as gone:
        return [gone_frame(spec.id, gone.why)]
    except (TimeoutError, ViaStateError):
        return [stale_frame(spec.id)]
    except Exception as error:  # one fragment of the project's, whose fault is not that of the page's others
        fragment_failed(spec.name, error)
        return [stale_frame(spec.id)]
    frames = [rewritten_frame(spec.id)] if order > Order.BEHIND else []
    frames.append(Painted.of(spec, content).whole(spec))
    return [*frames, stale_frame(spec.id)] if content.halted else frames


def _hello(request: HttpRequest) -> Message:
    body = request.read(settings.LIVE_MESSAGE + 1)
    try:
        messages = decode(body.decode(), settings.LIVE_MESSAGE)
    except UnicodeDecodeError:
        raise Garbage("A message can't be decoded.") from None
    if len(messages) != 1 or messages[0].hello is None:
        raise Garbage("A connection begins with one hello.")
    return messages[0]


def _answer(text: str, status: int = 200) -> HttpResponse:
    answer = HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
    answer["Cache-Control"] = "no-store"
    return answer
