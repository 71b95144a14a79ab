"""The counter's page, as a sync view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from testproject.counter.state import Counter, Tick
from testproject.pages.answers import appended, folded, wants_json


@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
def counter(request: HttpRequest) -> HttpResponse:
    """Shows the total; POST adds one."""
    if request.method == "POST":
        offset = Counter.total.append(Tick())
        return appended(Counter.total, offset) if wants_json(request) else redirect("counter")
    if wants_json(request):
        return folded(Counter.total)
    return render(request, "counter/counter.html")
