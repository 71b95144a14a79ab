"""Views for a project's ``urls.py``. They need nothing but Django, and no session."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from via_state import health
from via_state.health import drain
from via_state.metrics import exposition

__all__ = [
    "drain",
    "livez",
    "metrics",
    "readyz",
]


def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics, for Prometheus; in multiprocess mode of all processes of this machine. Keep it from the public: it names your keys."""
    return HttpResponse(exposition.page(), content_type=CONTENT_TYPE_LATEST)


def livez(request: HttpRequest) -> HttpResponse:
    """Whether this process lives: 503 where only a restart helps."""
    return _answer(health.why_dead())


def readyz(request: HttpRequest) -> HttpResponse:
    """Whether this process should get requests: 503 while it ends, its backplane is away, or the declared keys are not loaded yet."""
    return _answer(health.readiness())


def _answer(problem: str) -> HttpResponse:
    return HttpResponse(f"{problem or 'ok'}\n", status=503 if problem else 200, content_type="text/plain")
