"""Events know when, on whose behalf and for which record they were appended, and their handlers are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

import via_state
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison, middleware, origin
from via_state.core.metadata import from_text
from via_state.models import DeadLetter

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


def test_a_handler_is_told_when_and_by_whom_and_what_it_appends_says_for_which_record(shop: Shop) -> None:
    got: list[Delivery] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery)
        if isinstance(event, Placed):
            shop.log().append(Cancelled(event.number), wait=False)

    before = time.time()
    with via_state.context(actor=7):
        shop.place(1)
        async_to_sync(shop.log().aappend)(Placed(2), wait=False)
    shop.place(3)
    shop.work()
    until(lambda: len(got) == 6)
    first, second, third = got[:3]
    assert [one.actor for one in (first, second, third)] == ["7", "7", ""]
    assert first.time is not None
    assert first.time.tzinfo is UTC
    assert before - 0.01 <= first.time.timestamp() <= time.time()
    assert [one.caused_by for one in (first, second, third)] == ["", "", ""]
    assert [one.caused_by for one in got[3:]] == [
        one.idempotency_key.removeprefix("ship-") for one in (first, second, third)
    ]
    assert [one.actor for one in got[3:]] == ["7", "7", ""]


def test_records_that_say_nothing_are_delivered_as_such(shop: Shop) -> None:
    got: list[Delivery] = []

    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery)

    shop.raw("orders", b'[["Placed",1,{"number":1}],["Placed",1,{"number":2},{"t":1e99}]]', 2)
    shop.raw("orders", b'[["Placed",1,{"number":3},{"t":9223372036854775807,"u":"x"}]]')
    shop.work()
    until(lambda: len(got) == 3)
    assert [(one.time, one.actor, one.caused_by) for one in got] == [
        (None, "", ""),
        (None, "", ""),
        (None, "x", ""),
    ]


def test_a_dead_letter_and_its_replay_keep_the_origin(durable_shop: Shop) -> None:
    from django.core.management import call_command

    from via_state.pod.default import use_pod

    got: list[Delivery] = []

    @durable_shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery)
        if len(got) == 1:
            raise Poison("not yet")

    with via_state.context(actor="ann", trace=TRACE):
        durable_shop.place(1)
    durable_shop.work()
    rows = DeadLetter.objects.using("postgres").filter(prefix=durable_shop.world.prefix)
    until(lambda: rows.filter(status="new").exists())
    found = from_text(rows.get().metadata)
    assert (found.actor, found.trace) == ("ann", TRACE)
    with use_pod(durable_shop.pod):
        call_command("replay_dead_letters", verbosity=0)
    assert len(got) == 2
    assert (got[1].time, got[1].actor) == (got[0].time, "ann")
    assert isinstance(got[1].time, datetime)


def test_a_context_ends_and_what_is_left_out_stays() -> None:
    with via_state.context(actor="ann", trace=TRACE):
        with via_state.context(actor="bob"):
            assert (origin.metadata().actor, origin.metadata().trace) == ("bob", TRACE)
        with via_state.context(actor=""):
            assert origin.metadata().actor == ""
        assert origin.metadata().actor == "ann"
    assert (origin.metadata().actor, origin.metadata().trace) == ("", "")


@pytest.mark.parametrize("wrong", [{"actor": "x" * 201}, {"actor": "two\nlines"}, {"trace": "soon"}])
def test_a_context_that_can_t_be_stored_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"actor|trace"), via_state.context(**wrong):
        pass


def request_of(user: object) -> HttpRequest:
    request = RequestFactory().get("/", headers={"traceparent": TRACE})

    async def auser() -> object:
        return user

    request.user, request.auser = user, auser  # type: ignore[assignment]
    return request


@pytest.mark.parametrize(("user", "actor"), [(User(pk=7), "7"), (AnonymousUser(), "")])
def test_a_request_appends_on_behalf_of_its_user(user: object, actor: str) -> None:
    found = []

    def view(request: HttpRequest) -> HttpResponse:
        found.append(origin.metadata())
        return HttpResponse()

    async def aview(request: HttpRequest) -> HttpResponse:
        found.append(await origin.ametadata())
        return HttpResponse()

    middleware.ActorMiddleware(view)(request_of(user))
    answer: Callable[..., HttpResponse] = async_to_sync(middleware.ActorMiddleware(aview))  # type: ignore[arg-type]
    answer(request_of(user))
    assert [(one.actor, one.trace) for one in found] == [(actor, TRACE)] * 2
    assert origin.metadata().actor == ""


def test_the_middleware_says_what_it_needs() -> None:
    with pytest.raises(ImproperlyConfigured, match="AuthenticationMiddleware"):
        middleware.ActorMiddleware(lambda request: HttpResponse())(RequestFactory().get("/"))
