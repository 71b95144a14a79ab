"""The order book's page, and what ships its orders."""

from __future__ import annotations

import pytest
from django.test import Client

from testproject.orders.models import Shipment
from testproject.orders.state import AT_WORK, ON_STRIKE, REMEMBERED, Orders, Placed, ship
from via_state import Delivery, Offset, Poison
from via_state.pod.pod import Pod
from via_state.testing.live import live_tab


def delivery() -> Delivery:
    return Delivery("ship", "orders", Offset(1, "epoch"), "epoch", 1, "ship-1")


def test_a_script_orders_and_the_book_has_it(client: Client) -> None:
    value = client.post("/orders/?format=json", {"item": "Tea", "address": "1 High Street"}).json()["value"]

    assert [(one["item"], one["address"], one["status"]) for one in value] == [("Tea", "1 High Street", "ordered")]
    assert client.get("/orders/?format=json").json()["value"] == value


def test_a_person_who_orders_is_sent_back_to_the_page(client: Client) -> None:
    answer = client.post("/orders/", {"item": "<b>Tea</b>", "address": "1 High Street"}, follow=True)

    assert answer.redirect_chain == [("/orders/", 302)]
    assert "<td>&lt;b&gt;Tea&lt;/b&gt;</td>" in answer.text


def test_the_book_is_filled_at_once_and_holds_no_more_than_it_shows(client: Client) -> None:
    client.post("/orders/?format=json", {"item": "Tea", "address": "1 High Street"})

    value = client.post("/orders/?format=json", {"fill": "1"}).json()["value"]

    assert len(value) == REMEMBERED
    assert "Tea" not in [one["item"] for one in value]


def test_an_order_gets_another_address(client: Client) -> None:
    [placed] = client.post("/orders/?format=json", {"item": "Tea", "address": "Nowhere"}).json()["value"]

    [corrected] = client.post(
        "/orders/?format=json", {"order": placed["order"].lower(), "address": "2 High Street"}
    ).json()["value"]

    assert corrected == {**placed, "address": "2 High Street"}


def test_whether_the_book_has_an_order_is_said_while_its_number_is_typed(client: Client) -> None:
    [placed] = client.post("/orders/?format=json", {"item": "Tea", "address": "Nowhere"}).json()["value"]
    with live_tab(client, "/orders/") as tab:
        assert tab.fill("#correct", order=placed["order"][:3]).status_code == 200
        tab.sees("#correct .errorlist", "The book has no such order.")
        tab.fill("#correct", order=placed["order"])
        assert not tab.page.find("#correct .errorlist")
        tab.submit("#correct", address="2 High Street")
    assert client.get("/orders/?format=json").json()["value"] == [{**placed, "address": "2 High Street"}]


def test_the_carrier_goes_on_strike_and_back_to_work(client: Client) -> None:
    for value in (ON_STRIKE, AT_WORK):
        assert client.post("/orders/?format=json", {"carrier": value}).json()["value"] == value
        assert f">{value}</output>" in client.get("/orders/").text


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"item": "Tea", "address": " "}, "Say where it goes."),
        ({"item": "x" * 61, "address": "here"}, "Item: at most 60 characters, not 61."),
        ({"order": "QQQQQQ", "address": "here"}, "The book has no such order."),
        ({"carrier": "asleep"}, "The carrier is either at work or on strike."),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(client: Client, sent: dict[str, str], sentence: str) -> None:
    script = client.post("/orders/?format=json", sent)
    page = client.post("/orders/", sent)

    assert script.status_code == page.status_code == 400
    assert script.json() == {"error": sentence}
    assert sentence in page.text
    assert Orders.book.read() == []


@pytest.mark.django_db(transaction=True)
def test_shipping_writes_a_row_and_the_book_says_so(pod: Pod) -> None:
    placed = Placed("AAAAAA", "Tea", "1 High Street")
    Orders.book.append(placed)

    ship(placed, delivery())
    pod.drain()

    assert Shipment.objects.get().address == "1 High Street"
    assert Orders.book.read()[0].status == "shipped"


def test_nothing_is_shipped_during_a_strike_nor_to_nowhere() -> None:
    placed = Placed("AAAAAA", "Tea", "Nowhere")
    with pytest.raises(Poison, match="no carrier finds 'Nowhere'"):
        ship(placed, delivery())
    Orders.carrier.set(ON_STRIKE)
    with pytest.raises(ConnectionError):
        ship(placed, delivery())
