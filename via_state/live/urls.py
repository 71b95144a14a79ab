"""Where tabs ask that get no socket. A project that runs under WSGI includes it: ``path("", include("via_state.live.urls"))``."""

from __future__ import annotations

from django.urls import path

from via_state.conf import settings
from via_state.live.serving.poll import resume

urlpatterns = [path(settings.LIVE_URL.lstrip("/"), resume)]
