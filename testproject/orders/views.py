"""The order book's page."""

from __future__ import annotations

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_http_methods

from testproject.orders.forms import CarrierForm, CorrectionForm, FillForm, OrderForm
from testproject.orders.state import Orders
from testproject.pages.answers import answer, appended, folded, refusal, wants_json
from via_state import live


@require_http_methods(["GET", "HEAD", "POST", "QUERY"])
@ensure_csrf_cookie
def orders(request: HttpRequest) -> HttpResponse:
    """Shows the book; POST adds an order, or many, corrects one, or says what the carrier does.

    The form that corrects one asks what is wrong while it is filled in.
    """
    sent = request.POST if request.method == "POST" else None
    carrier = CarrierForm(sent if sent and "carrier" in sent else None)
    correction = live.form(request, CorrectionForm, sent_with="order", book=Orders.book.read())
    fill = FillForm(sent if sent and "fill" in sent else None)
    others = (carrier, correction, fill)
    order = OrderForm(sent if sent is not None and not any(form.is_bound for form in others) else None)
    if carrier.is_valid():
        value = Orders.carrier.set(carrier.cleaned_data["carrier"])
        return answer(value) if wants_json(request) else redirect("orders")
    if fill.is_valid():
        offsets = Orders.book.append_many(fill.events())
        return appended(Orders.book, offsets[-1]) if wants_json(request) else redirect("orders")
    for form in (order, correction):
        if form.is_valid():
            offset = Orders.book.append(form.event())
            return appended(Orders.book, offset) if wants_json(request) else redirect("orders")
    bad: Form | None = next((form for form in (order, *others) if form.is_bound), None)
    if wants_json(request):
        return folded(Orders.book) if bad is None else refusal(bad)
    context = {"forms": {"order": order, "correction": correction, "carrier": carrier}}
    return render(
        request,
        "orders/orders.html",
        context,
        status=400 if bad is not None and not live.validating(request) else 200,
    )
