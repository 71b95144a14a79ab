"""What open pages show while others change things, and the WebSockets that are not those of live pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from channels.testing import WebsocketCommunicator
from django.test import Client

from testproject.asgi import application
from testproject.chat.state import Chat, Posted
from testproject.counter.state import Counter, Tick
from testproject.jobs.state import STEPS, Finished, Jobs, Started, work
from testproject.orders.forms import FillForm
from testproject.orders.state import ON_STRIKE, REMEMBERED, Orders, Shipped
from via_state import Delivery, Offset
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab, live_tab

pytestmark = pytest.mark.django_db(transaction=True)

HEADERS = [(b"origin", b"http://localhost:8001"), (b"host", b"localhost:8001")]


def socket(path: str) -> WebsocketCommunicator:
    return WebsocketCommunicator(application, path, headers=HEADERS)


@asynccontextmanager
async def connected(path: str) -> AsyncIterator[WebsocketCommunicator]:
    """A page's end of a WebSocket."""
    page = socket(path)
    accepted, _ = await page.connect()
    assert accepted
    yield page
    await page.disconnect()


def sees_lines(tab: LiveTab, *lines: str) -> None:
    tab.until(
        lambda: [one.text for one in tab.page.find("#lines li")] == list(lines), lambda: f"It is not {lines}."
    )


# Live pages ---------------------------------------------------------------------------------------------------


def test_a_page_shows_the_total_now_and_after_each_change(client: Client) -> None:
    Counter.total.append(Tick())

    with live_tab(client, "/counter/") as page, live_tab(Client(), "/counter/") as other:
        page.sees("#total", "1")
        other.submit("#press")
        for tab in (page, other):
            tab.sees("#total", "2")


def test_the_first_page_shows_values_that_others_change(client: Client) -> None:
    with live_tab(client, "/") as page:
        Counter.total.append_many([Tick(), Tick()])
        Client().post("/banner/", {"text": "Tea is ready"})
        page.until(lambda: [one.text for one in page.page.find("output")] == ["2", "Tea is ready", "guest"])


def test_a_page_follows_its_room_alone(client: Client) -> None:
    with live_tab(client, "/chat/caf%C3%A9/") as page:
        sees_lines(page, "Nobody has said anything yet.")
        Chat.room.at(room="lobby").append(Posted("Ada", "elsewhere"))
        Chat.room.at(room="café").append(Posted("Ada", "<b>here</b>"))
        sees_lines(page, "Ada <b>here</b>")
        page.submit("#say", text="and I", action="post")
        page.submit("#come-and-go", action="leave")
        sees_lines(page, "Ada <b>here</b>", "guest and I", "guest left")


def test_a_page_follows_the_banner_and_hears_notices(client: Client) -> None:
    with live_tab(client, "/banner/") as page, live_tab(Client(), "/counter/") as elsewhere:
        page.sees("#banner", "Welcome")
        page.submit("#write", text="Hello")
        page.sees("#banner", "Hello")
        page.submit("#notify", notice="Tea is ready")
        for tab in (page, elsewhere):
            tab.until(lambda tab=tab: tab.notices == ["Tea is ready"])  # type: ignore[misc]


def test_the_tabs_of_a_session_show_its_name_from_the_first_one_on(client: Client) -> None:
    stranger = Client()
    with live_tab(client, "/profile/") as first, live_tab(client, "/chat/lobby/") as second:
        for name in ("Ada", "Grace"):
            first.submit("#rename", name=name)
            stranger.post("/profile/", {"name": "Eve"})
            first.sees("#name", name)
            for tab in (first, second):
                tab.until(lambda tab=tab, name=name: name in tab.text(".badge"))  # type: ignore[misc]


def test_a_page_that_was_opened_without_a_session_keeps_what_it_shows(client: Client) -> None:
    with live_tab(client, "/chat/lobby/") as page:
        assert "sessionid" not in client.cookies
        client.post("/profile/", {"name": "Ada"})
        Chat.room.at(room="lobby").append(Posted("Ada", "hello"))
        sees_lines(page, "Ada hello")
        assert "guest" in page.text(".badge")


def test_of_200_orders_the_one_that_changes_is_sent(client: Client) -> None:
    events = FillForm.events(FillForm())
    Orders.book.append_many(events)

    with live_tab(client, "/orders/") as page:
        assert len(page.page.find("tbody tr")) == REMEMBERED == 200
        for number in (7, 150):
            Orders.book.append(Shipped(events[number].order))
            page.sees(f"#o{events[number].order} td.status", "shipped")
        page.until(lambda: [one.text for one in page.page.find("dd")] == ["198", "2", "0"])
        table = page.page.find("tbody")[0].attributes["data-via-id"]
        first, second = (frame for frame in page.frames if frame.id == table and frame.kind in "hd")
        assert (first.kind, second.kind) == ("h", "d")
        assert len(second.rest[3]) < len(first.rest[0]) / 100


def test_the_carrier_of_the_page_follows(client: Client) -> None:
    with live_tab(client, "/orders/") as page:
        page.submit("#carrier", carrier=ON_STRIKE)
        page.until(lambda: "The carrier is on strike" in [one.text for one in page.page.find("h2")])


def test_a_bar_follows_a_job_and_the_list_is_not_rendered_for_it(client: Client) -> None:
    Jobs.queue.append(Started("job-1", "Count the teapots"))

    with live_tab(client, "/jobs/") as page:
        for step in (1, 40):
            Jobs.steps.at(job="job-1").set(step)
            page.until(
                lambda step=step: page.page.find("progress")[0].attributes.get("value") == str(step)  # type: ignore[misc]
            )
            page.sees("#job-job-1 .status", f"{step} %")
        assert not {frame.kind for frame in page.frames} & {"h", "d"}
        Jobs.queue.append(Finished("job-1"))
        page.sees("#job-job-1 .status", "done")


def test_a_job_continues_at_the_step_that_was_reached(monkeypatch: pytest.MonkeyPatch, pod: Pod) -> None:
    done: list[float] = []
    monkeypatch.setattr("testproject.jobs.state.time.sleep", done.append)
    event = Started("job-1", "Count the teapots")
    Jobs.queue.append(event)
    Jobs.steps.at(job="job-1").set(STEPS - 3)

    work(event, Delivery("work", "jobs", Offset(1, "epoch"), "epoch", 2, "work-1"))
    pod.drain()

    assert len(done) == 3
    assert [one.done for one in Jobs.queue.read()] == [True]


def test_what_is_wrong_comes_with_the_form(client: Client) -> None:
    for path, form, fields in [
        ("/chat/lobby/", "say", {"text": " "}),
        ("/orders/", "order", {"item": ""}),
        ("/jobs/", "start", {"what": ""}),
        ("/banner/", "notify", {"notice": ""}),
        ("/profile/", "rename", {"name": ""}),
    ]:
        answer = client.post(path, fields, headers={"X-Via": "form"})
        found = answer.text.partition(f'id="{form}"')[2].partition("</form>")[0]
        assert answer.status_code == 400
        assert 'class="errorlist"' in found
        assert 'aria-invalid="true"' in found


# Others -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws/", "/ws/nowhere/", "/counter/", "/via/live/more/"])
async def test_unknown_paths_are_refused(path: str) -> None:
    accepted, _ = await socket(path).connect()

    assert not accepted


@pytest.mark.parametrize("path", ["/via/live/", "/ws/counter/press/"])
async def test_pages_of_other_sites_are_refused(path: str) -> None:
    headers = [(b"origin", b"http://elsewhere.example"), (b"host", b"localhost:8001")]

    accepted, _ = await WebsocketCommunicator(application, path, headers=headers, subprotocols=["via.1"]).connect()

    assert not accepted


@pytest.mark.parametrize("path", ["/ws/counter/press/", "/ws/counter/press/sync/"])
async def test_consumers_of_either_kind_append_and_read(path: str) -> None:
    async with connected(path) as button:
        await button.send_to("press")
        assert await button.receive_from(timeout=5) == "1"
        await button.send_to("press")
        assert await button.receive_from(timeout=5) == "2"

    assert await Counter.total.aread() == 2
