"""The rooms' pages, as async views."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_safe

from testproject.chat.forms import LineForm, RoomForm
from testproject.chat.state import Chat
from testproject.pages.answers import aappended, afolded, arender, refusal, wants_json
from testproject.profile.state import Visitor

ROOMS = ["lobby", "kitchen", "café"]


@require_safe
async def rooms(request: HttpRequest) -> HttpResponse:
    """Where to go. With ``?room=``, goes there."""
    form = RoomForm(request.GET if "room" in request.GET else None)
    if not form.is_bound:
        return await _rooms(request, form)
    return (
        redirect("room", room=form.cleaned_data["room"]) if form.is_valid() else await _refuse_room(request, form)
    )


@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
async def room(request: HttpRequest, room: str) -> HttpResponse:
    """Shows what was said; POST says something."""
    if not (named := RoomForm({"room": room})).is_valid():
        return await _refuse_room(request, named)
    log = Chat.room.at(room=room)
    author = str(await Visitor(request).profile.aread())
    form = LineForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        offset = await log.aappend(form.event(author))
        return await aappended(log, offset) if wants_json(request) else redirect("room", room=room)
    if wants_json(request):
        return refusal(form) if form.is_bound else await afolded(log)
    context = {"room": room, "author": author, "form": form}
    return await arender(request, "chat/room.html", context, status=400 if form.is_bound else 200)


async def _rooms(request: HttpRequest, form: RoomForm) -> HttpResponse:
    status = 400 if form.is_bound else 200
    return await arender(request, "chat/rooms.html", {"rooms": ROOMS, "form": form}, status=status)


async def _refuse_room(request: HttpRequest, form: RoomForm) -> HttpResponse:
    return refusal(form) if wants_json(request) else await _rooms(request, form)
