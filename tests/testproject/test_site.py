"""What all pages have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from wsgiref.util import setup_testing_defaults

import pytest
from channels.testing import HttpCommunicator
from django.test import Client, override_settings

from testproject.asgi import application as asgi
from testproject.counter.state import Counter, Tick
from testproject.servers.waiting import wait_until
from testproject.wsgi import application as wsgi
from tests.faults import Fault, FaultyBackplane
from via_state.backplanes.memory import MemoryBackplane
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.testing.live.dom import parse

PAGES = ["/", "/counter/", "/chat/", "/chat/lobby/", "/banner/", "/orders/", "/jobs/"]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_which_pod_served_it(
    client: Client, pod: Pod, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIA_POD_NAME", "pod 7")

    text = client.get(page).text

    assert f'<strong class="pod">pod 7</strong> <code>{pod.pod_id}</code>' in text


@pytest.mark.parametrize("page", PAGES)
def test_every_page_runs_under_a_strict_policy(client: Client, page: str) -> None:
    answers = [client.get(page), client.get(page)]
    policies = [
        dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        for answer in answers
    ]
    nonces = [policy["script-src"].removeprefix("'nonce-").removesuffix("'") for policy in policies]

    assert nonces[0] != nonces[1]
    for answer, policy, nonce in zip(answers, policies, nonces, strict=True):
        assert policy["default-src"] == "'none'"
        assert policy["style-src"] == policy["connect-src"] == "'self'"
        assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "via")
        assert " style=" not in answer.text
        scripts = 2 if page == "/orders/" else 1  # that of forms which say what is wrong
        assert answer.text.count("<script") == answer.text.count(f'nonce="{nonce}"') == scripts
        assert "<style" not in answer.text


def test_the_first_page_shows_values_and_leads_to_every_other(client: Client) -> None:
    client.post("/counter/")

    text = client.get("/").text

    assert [one.text for one in parse(text).find("output")] == ["1", "Welcome", "guest"]
    assert all(f'href="{page}"' in text for page in [*PAGES[:3], "/banner/", "/orders/", "/jobs/", "/profile/"])


def test_an_address_that_leads_nowhere_says_so(client: Client) -> None:
    answer = client.get("/nowhere/")

    assert answer.status_code == 404
    assert "There is no such page" in answer.text


@pytest.mark.django_db
def test_the_admin_has_a_login_under_a_policy_that_its_own_files_fulfil(client: Client) -> None:
    answer = client.get("/admin/", follow=True)

    assert "Log in" in answer.text
    assert "script-src 'self'; style-src 'self';" in answer.headers["Content-Security-Policy"]
    assert "trusted" not in answer.headers["Content-Security-Policy"]


@pytest.mark.django_db(transaction=True)
async def test_the_asgi_application_serves_static_files() -> None:
    browser = HttpCommunicator(asgi, "GET", "/static/via_state/via-1.js")
    await browser.send_input({"type": "http.request"})

    assert (await browser.receive_output())["status"] == 200
    assert b"viaConnection" in (await browser.receive_output())["body"]
    await browser.wait()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", ["/counter/", "/banner/"])  # a sync and an async view
def test_the_wsgi_application_serves_pages_and_takes_posts(page: str) -> None:
    _, _, headers = call_wsgi("GET", page)
    token = headers["Set-Cookie"].partition("csrftoken=")[2].partition(";")[0]
    body = f"csrfmiddlewaretoken={token}&text=Hello".encode()

    status, _, _ = call_wsgi("POST", page, body, HTTP_COOKIE=f"csrftoken={token}")
    _, text, _ = call_wsgi("GET", page)

    assert status == "302 Found"
    assert {"/counter/": ">1</output>", "/banner/": ">Hello</output>"}[page] in text


@pytest.mark.django_db(transaction=True)
def test_under_wsgi_a_page_asks_what_is_new() -> None:
    _, text, _ = call_wsgi("GET", "/counter/")
    page = parse(text)
    node = page.find("#total output")[0].attributes
    ticket = page.find("script")[0].attributes["data-via-page"]
    hello = {"hello": ticket, "nodes": [[node["data-via"], json.loads(node["data-via-at"])]]}
    Counter.total.append_many([Tick(), Tick()])

    status, answer, _ = call_wsgi("POST", "/via/live/", json.dumps(hello).encode(), HTTP_ORIGIN="http://localhost")

    frames = [json.loads(line) for line in answer.splitlines()][-1]["f"]
    assert status == "200 OK"
    assert [(frame[0], frame[2:]) for frame in frames] == [(node["data-via-id"], ["t", "2"])]


class Begun:
    """What a WSGI application begins its answer with."""

    def __call__(self, status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        self.status, self.headers = status, dict(headers)
        return BytesIO().write


def call_wsgi(method: str, path: str, body: bytes = b"", **more: str) -> tuple[str, str, dict[str, str]]:
    """Status, text and headers."""
    environ: dict[str, object] = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "localhost", **more}
    environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    setup_testing_defaults(environ)
    begun = Begun()
    with closing(wsgi(environ, begun)) as answer:
        return begun.status, b"".join(answer).decode(), begun.headers


@pytest.fixture
def broken() -> Iterator[FaultyBackplane]:
    """A backplane that can't be reached, and a pod of little patience."""
    backplane = FaultyBackplane(MemoryBackplane({}))
    backplane.down = True
    patience = {"READ_TIMEOUT": 0.05, "APPEND_TIMEOUT": 0.05, "UPDATE_TIMEOUT": 0.05}
    with override_settings(VIA_STATE=patience), use_pod(Pod(backplane)) as pod:
        yield backplane
        pod.close()


@pytest.mark.parametrize("page", ["/counter/", "/chat/lobby/", "/banner/"])
def test_while_the_backplane_is_away_visitors_get_a_sentence(
    client: Client, broken: FaultyBackplane, page: str
) -> None:
    for answer in (client.get(page), client.post(page, {"text": "hello"})):
        assert answer.status_code == 503
        assert "Nothing was changed; try again soon." in answer.text
    for answer in (client.get(f"{page}?format=json"), client.post(f"{page}?format=json", {"text": "hello"})):
        assert answer.status_code == 503
        assert answer.json()["kind"] in ("BackplaneUnavailable", "NotCaughtUp")

    broken.down = False
    wait_until(lambda: client.get(page).status_code == 200, "the first answer")


def test_an_append_whose_outcome_is_unknown_says_so(client: Client, broken: FaultyBackplane) -> None:
    broken.down = False
    broken.retry_window = 0.05  # type: ignore[misc]
    broken.fail("append", *[Fault.LOST_ANSWER] * 50)

    answer = client.post("/counter/?format=json")

    assert answer.status_code == 503
    assert answer.json()["kind"] == "AppendOutcomeUnknown"
    assert answer.json()["error"] == "It may or may not have been done: look before you try again."
