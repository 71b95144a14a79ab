"""Views for a project's ``urls.py``. They need nothing but Django, and no session."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from via_state.metrics import exposition


def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics, for Prometheus; in multiprocess mode of all processes of this machine. Keep it from the public: it names your keys."""
    return HttpResponse(exposition.page(), content_type=CONTENT_TYPE_LATEST)
