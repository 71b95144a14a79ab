"""Where tabs connect, for a project that has other WebSockets too: ``URLRouter([*websocket_urlpatterns, ...])``."""

from __future__ import annotations

from django.urls import path

from via_state.conf import settings
from via_state.live.serving.consumer import TabConsumer

websocket_urlpatterns = [path(settings.LIVE_URL.lstrip("/"), TabConsumer.as_asgi())]
