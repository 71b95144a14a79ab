"""The banner's page, as an async view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from testproject.banner.forms import BannerForm, NoticeForm
from testproject.banner.state import Site
from testproject.pages.answers import answer, arender, refusal, wants_json
from via_state import live


@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
async def banner(request: HttpRequest) -> HttpResponse:
    """Shows the banner; POST replaces it, or shows a notice to everybody who looks at a page now."""
    sent = request.POST if request.method == "POST" else None
    notice = NoticeForm(sent if sent is not None and "notice" in sent else None)
    form = BannerForm(sent if not notice.is_bound else None)
    if notice.is_valid():
        tabs = await live.abroadcast_notify(notice.cleaned_data["notice"])
        return answer(tabs) if wants_json(request) else redirect("banner")
    if form.is_valid():
        value = await Site.banner.aset(form.cleaned_data["text"])
        return answer(value) if wants_json(request) else redirect("banner")
    bad = next((one for one in (form, notice) if one.is_bound), None)
    if wants_json(request):
        return answer(await Site.banner.aread()) if bad is None else refusal(bad)
    status = 200 if bad is None else 400
    return await arender(request, "banner/banner.html", {"form": form, "notice": notice}, status)
