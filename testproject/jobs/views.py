"""The jobs' page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from testproject.jobs.forms import JobForm
from testproject.jobs.state import Jobs
from testproject.pages.answers import appended, folded, refusal, wants_json


@require_http_methods(["GET", "HEAD", "POST"])
@ensure_csrf_cookie
def jobs(request: HttpRequest) -> HttpResponse:
    """Shows how far the jobs are; POST starts one."""
    form = JobForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        offset = Jobs.queue.append(form.event())
        return appended(Jobs.queue, offset) if wants_json(request) else redirect("jobs")
    if wants_json(request):
        return refusal(form) if form.is_bound else folded(Jobs.queue)
    return render(request, "jobs/jobs.html", {"form": form}, status=400 if form.is_bound else 200)
