"""Middleware that ends a session's state with its session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from via_state.declarations.session_end import aend_session_state, end_session_state
from via_state.declarations.session_id import Flushes

__all__ = [
    "SessionStateMiddleware",
]

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class SessionStateMiddleware:
    """Notices that a request flushed its session, and ends the session's state. Put it after SessionMiddleware.

    A logout through ``django.contrib.auth`` is noticed without it. A login as somebody else, a password changed
    elsewhere and a ``flush`` of your own are not; requests and connections that had loaded the session before could then go on
    with its state.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        flushes = _watch(request)
        response = cast(HttpResponseBase, self.get_response(request))
        for sid in flushes.sids:
            end_session_state(sid)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        flushes = _watch(request)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        for sid in flushes.sids:
            await aend_session_state(sid)
        return response


def _watch(request: HttpRequest) -> Flushes:
    if not hasattr(request, "session"):
        raise ImproperlyConfigured(
            "SessionStateMiddleware needs the session: put "
            "'django.contrib.sessions.middleware.SessionMiddleware' before it in MIDDLEWARE."
        )
    return Flushes(request.session)
