"""The first page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from testproject.banner.state import Site
from testproject.counter.state import Counter


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """What there is to see."""
    return render(request, "pages/index.html", {"total": Counter.total, "banner": Site.banner})
