"""The ASGI application of a project with live pages around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest

from via_state.conf import settings
from via_state.live.serving import draining
from via_state.live.serving.consumer import TabConsumer

Application = Callable[[Any, Any, Any], Awaitable[Any]]


class _Resume(ASGIHandler):
    """Django, with the one view that answers tabs which get no socket."""

    def create_request(self, scope: Any, body_file: Any) -> Any:
        request, response = super().create_request(scope, body_file)
        if isinstance(request, ASGIRequest):
            request.urlconf = "via_state.live.urls"
        return request, response


def live(application: Application) -> Application:
    """``application``, and the tabs of live pages at ``LIVE_URL``: their WebSocket, and the POST of those that get none.

    In ``asgi.py``: ``application = live(get_asgi_application())``. All else goes to ``application``. When the process is told to end (SIGTERM),
    its tabs are sent to others first, see ``LIVE_DRAIN``.
    """
    tab, resume = TabConsumer.as_asgi(), _Resume()

    async def with_live_pages(scope: Any, receive: Any, send: Any) -> Any:
        draining.install()
        here = scope.get("path") == settings.LIVE_URL
        if here and scope["type"] == "websocket":
            return await tab(scope, receive, send)
        if here and scope["type"] == "http" and scope["method"] == "POST":
            return await resume(scope, receive, send)
        return await application(scope, receive, send)

    return with_live_pages
