"""What scripts get instead of pages, with ``?format=json``; and pages, for async views."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from asgiref.sync import sync_to_async
from django.forms import Form
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from testproject.pages.pod import pod_id
from via_state import Foldable, Offset, StateAppEvents
from via_state.exceptions import ViaStateError

V = TypeVar("V")
Log = StateAppEvents[Foldable[V]]


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks."""
    return request.GET.get("format") == "json"


def answer(value: object, offset: int | None = None) -> JsonResponse:
    """A value; ``offset`` is how far this pod has read its log, None for what has no log."""
    return JsonResponse({"value": msgspec.to_builtins(value), "offset": offset, "pod": pod_id()})


def sentence(form: Form) -> str:
    """What is wrong, for people."""
    return " ".join(str(text) for texts in form.errors.values() for text in texts)


def refusal(form: Form) -> JsonResponse:
    """400, with a sentence that says what is wrong."""
    return JsonResponse({"error": sentence(form)}, status=400)


def folded(log: Log[V]) -> JsonResponse:
    """The value of a log, and how far this pod has read it."""
    log.read()  # loads it; before, it stands at 0
    offset = log.status().position.offset
    return answer(log.read(), offset)  # read last: the value holds all that the offset promises


async def afolded(log: Log[V]) -> JsonResponse:
    """`folded`, awaited."""
    await log.aread()
    offset = (await log.astatus()).position.offset
    return answer(await log.aread(), offset)


def appended(log: Log[V], offset: Offset) -> JsonResponse:
    """An append counts, even where this pod can't show the value that it leads to yet: that is null then."""
    try:
        return answer(log.read(at_least=offset), offset)
    except ViaStateError:
        return answer(None, offset)


async def aappended(log: Log[V], offset: Offset) -> JsonResponse:
    """`appended`, awaited."""
    try:
        return answer(await log.aread(at_least=offset), offset)
    except ViaStateError:
        return answer(None, offset)


async def arender(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """A page. Templates are sync, and so is what their tags read: they run on a thread."""
    return await sync_to_async(render)(request, template, context, status=status)
