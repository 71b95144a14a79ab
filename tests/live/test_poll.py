"""A tab that gets no socket asks by POST, and is told the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client
from prometheus_client import REGISTRY

from tests.live import stage
from tests.live.stage import Add, Say, Stage
from via_state.conf import DEFAULTS
from via_state.live.asgi import live
from via_state.live.protocol.frames import PROTOCOL
from via_state.live.serving import poll
from via_state.live.serving.allowances import Allowances
from via_state.pod.pod import Pod
from via_state.testing.live import LiveTab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("site")]
ORIGIN = "http://testserver"


class Unconnected(LiveTab):
    """A page whose socket never opens."""

    def connect(self) -> None:
        return

    def ask(self, **changes: Any) -> Any:
        hello = {"hello": self.ticket, "nodes": [one.asked() for one in self.nodes], **changes}
        answer = self.client.post(
            "/via/live/", json.dumps(hello), content_type="application/json", headers={"origin": ORIGIN}
        )
        for line in answer.content.decode().splitlines():
            self.hear(json.loads(line))
        return answer


def frames(kind: str) -> float:
    return REGISTRY.get_sample_value("via_frames_total", {"kind": kind}) or 0.0


def page(client: Client, path: str) -> Unconnected:
    tab = Unconnected(client, path)
    tab.open()
    return tab


def test_the_answer_is_what_the_socket_would_say(client: Client, pod: Pod, peer: Pod) -> None:
    tab = page(client, "/room/7/")
    Stage.room.at(room=7).using(peer).append(Say("hi"))
    pod.drain()
    whole, same = frames("whole"), frames("same")
    assert tab.ask().status_code == 200
    assert [frame.kind for frame in tab.frames] == ["h"]
    assert tab.text("#room") == "hi"
    rendered = dict(stage.renders)
    tab.ask()
    assert [frame.kind for frame in tab.frames] == ["h", "="]
    assert stage.renders == rendered
    assert (frames("whole"), frames("same")) == (whole + 1, same + 1)


def test_c3_it_sets_no_cookie_and_brings_no_session_back(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied before a logout, the cookie and the page, is of no use after it: within ``LIVE_RECHECK``, and then for good."""
    user = User.objects.create_user("ada")
    client.force_login(user)
    Stage(user).unread.set(3)
    tab = page(client, "/own/")
    assert not tab.ask().cookies
    stolen = client.cookies["sessionid"].value
    monkeypatch.setitem(DEFAULTS, "LIVE_RECHECK", 0.001)
    client.logout()
    client.cookies["sessionid"] = stolen
    tab.frames.clear()
    assert not tab.ask().cookies
    assert (tab.byes, tab.frames) == (["signed-out"], [])
    monkeypatch.undo()
    tab.ask()
    assert (tab.byes, tab.frames) == (["signed-out"] * 2, [])
    assert not Session.objects.exists()


def test_it_shows_only_what_its_visitor_may_see(client: Client, pod: Pod) -> None:
    client.force_login(User.objects.create_user("ada"))
    tab = page(client, "/room/7/")
    tab.client = Client()
    tab.ask()
    assert (tab.byes, tab.frames) == (["signed-out"], [])


def test_a_right_that_was_taken_away_ends_the_node(client: Client, pod: Pod) -> None:
    tab = page(client, "/room/7/")
    Stage.closed.at(room=7).set(True)
    tab.ask()
    assert tab.page.find("#room [data-via]")[0].attributes["data-via-gone"] == "denied"


def test_a_fragment_that_raises_is_marked_and_the_rest_is_told(client: Client, pod: Pod) -> None:
    tab = page(client, "/room/7/")
    Stage.room.at(room=7).append(Say("hi"))
    stage.raising.append(RuntimeError("the database is on fire"))
    assert tab.ask().status_code == 200
    assert [frame.kind for frame in tab.frames] == ["s"]


def test_a_restored_log_is_told_as_it_is_now(client: Client, pod: Pod) -> None:
    Stage.total.append(Add(5))
    tab = page(client, "/counter/")
    pod.thread.call(pod.backplane.drop(Stage.total.key))
    tab.ask()
    assert tab.text("#total") == "0"
    assert [frame.kind for frame in tab.frames] == ["r", "t", "r", "t"]


@pytest.mark.parametrize(
    ("body", "status"),
    [("", 400), ("[]", 400), ('{"ping": 1}', 400), ("x" * 200_000, 400), ('{"hello": "x", "nodes": [[1]]}', 400), ("\xff", 400)],
    ids=range(6),
)  # fmt: skip
def test_garbage_is_refused(client: Client, pod: Pod, body: str, status: int) -> None:
    data = body.encode("latin1")
    answer = client.post("/via/live/", data, content_type="application/json", HTTP_ORIGIN=ORIGIN)
    assert answer.status_code == status


def test_it_answers_no_page_of_another_site_and_no_other_method(client: Client, pod: Pod) -> None:
    strange = client.post("/via/live/", "{}", content_type="text/plain", HTTP_ORIGIN="http://evil.example")
    assert strange.status_code == 403
    assert client.post("/via/live/", "{}", content_type="text/plain").status_code == 403
    assert client.get("/via/live/").status_code == 405


def test_a_visitor_is_answered_as_often_as_a_socket_may_say_something(
    client: Client, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "askers", Allowances(2, 0.001))
    anonymous = page(client, "/room/7/")
    assert [anonymous.ask().status_code for _ in range(3)] == [200, 200, 200]
    client.force_login(User.objects.create_user("ada"))
    first, second = page(client, "/room/7/"), page(client, "/room/7/")
    assert [tab.ask().status_code for tab in (first, second, first)] == [200, 200, 429]
    assert page(Client(), "/room/7/").ask().status_code == 200


async def test_it_works_on_an_event_loop(async_client: AsyncClient, pod: Pod) -> None:
    body = json.dumps({"hello": "forged", "nodes": []})
    answer = await async_client.post("/via/live/", body, content_type="text/plain", headers={"origin": ORIGIN})
    assert answer.content == b'{"bye":{"why":"reload","in":0}}'


async def spoken(scope: dict[str, Any], *received: dict[str, Any]) -> list[dict[str, Any]]:
    """What the application sends."""
    inbox, sent = list(received), []

    async def receive() -> dict[str, Any]:
        return inbox.pop(0) if inbox else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def project(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "project", "path": scope["path"]})

    await live(project)(scope, receive, send)
    return sent


HEADERS = [(b"host", b"testserver"), (b"origin", ORIGIN.encode())]


async def test_the_application_of_the_project_gets_all_else(pod: Pod) -> None:
    for kind, path, method in (("http", "/", "GET"), ("websocket", "/ws/", ""), ("http", "/via/live/", "GET")):
        scope = {"type": kind, "path": path, "method": method, "headers": HEADERS}
        assert await spoken(scope) == [{"type": "project", "path": path}]


async def test_the_application_takes_what_tabs_post(pod: Pod) -> None:
    scope = {
        "type": "http",
        "path": "/via/live/",
        "method": "POST",
        "headers": HEADERS,
        "query_string": b"",
        "scheme": "http",
    }
    body = {"type": "http.request", "body": b'{"hello": "forged", "nodes": []}'}
    sent = await spoken(scope, body)
    assert sent[0]["status"] == 200
    assert b"reload" in b"".join(one.get("body", b"") for one in sent)


async def test_a_page_of_another_protocol_is_told_to_load_again(pod: Pod) -> None:
    scope = {
        "type": "websocket",
        "path": "/via/live/",
        "scheme": "ws",
        "headers": HEADERS,
        "subprotocols": ["via.9"],
    }
    sent = await spoken(scope, {"type": "websocket.connect"})
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert "reload" in sent[1]["text"]


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null"])
async def test_c1_a_socket_of_another_site_is_not_accepted(pod: Pod, origin: bytes) -> None:
    headers = [(b"host", b"testserver"), (b"origin", origin)]
    scope = {
        "type": "websocket",
        "path": "/via/live/",
        "scheme": "ws",
        "headers": headers,
        "subprotocols": [PROTOCOL],
    }
    sent = await spoken(scope, {"type": "websocket.connect"})
    assert [one["type"] for one in sent] == ["websocket.close"]
