"""Middleware that ends a session's state with its session."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from via_state.declarations.owners import SESSION_ID
from via_state.exceptions import ViaStateError
from via_state.sessions import aend_session, end_session

logger = logging.getLogger("via_state.sessions")

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class SessionStateMiddleware:
    """Notices that a view flushed the session, and ends the session's state. Put it behind SessionMiddleware.

    A logout through ``django.contrib.auth`` is noticed without it. With sessions that live in signed cookies it is
    what keeps an old cookie from reviving flushed state.
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
        before = request.session.get(SESSION_ID)
        response = cast(HttpResponseBase, self.get_response(request))
        if before is not None and request.session.get(SESSION_ID) != before:
            try:
                end_session(before)
            except ViaStateError:
                logger.exception("The state of a flushed session could not be ended.")
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        before = await request.session.aget(SESSION_ID)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        if before is not None and await request.session.aget(SESSION_ID) != before:
            try:
                await aend_session(before)
            except ViaStateError:
                logger.exception("The state of a flushed session could not be ended.")
        return response
