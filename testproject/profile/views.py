"""The profile's page, as a sync view."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from testproject.pages.answers import answer, refusal, wants_json
from testproject.profile.forms import ProfileForm
from testproject.profile.state import Visitor


@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
def profile(request: HttpRequest) -> HttpResponse:
    """Shows the visitor's name; POST changes it. A script that only looks starts no session.

    The page does, and no other page does: what belongs to a session can be followed once there is one, so the first name that is given
    shows at once in all tabs that have this page open.
    """
    mine = Visitor(request).profile
    form = ProfileForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        value = mine.update(lambda old: replace(old, name=form.cleaned_data["name"]))
        return answer(value) if wants_json(request) else redirect("profile")
    if wants_json(request):
        return refusal(form) if form.is_bound else answer(mine.read())
    if not mine.read().name:
        mine.update(lambda old: old)
    return render(request, "profile/profile.html", {"form": form}, status=400 if form.is_bound else 200)
