"""The banner's page, as an async view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from testproject.banner.forms import BannerForm
from testproject.banner.state import Site
from testproject.pages.answers import answer, refusal, wants_json


@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
async def banner(request: HttpRequest) -> HttpResponse:
    """Shows the banner; POST replaces it."""
    form = BannerForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        value = await Site.banner.aset(form.cleaned_data["text"])
        return answer(value) if wants_json(request) else redirect("banner")
    if wants_json(request):
        return refusal(form) if form.is_bound else answer(await Site.banner.aread())
    context = {"key": Site.banner.key, "text": await Site.banner.aread(), "form": form}
    return render(request, "banner/banner.html", context, status=400 if form.is_bound else 200)
