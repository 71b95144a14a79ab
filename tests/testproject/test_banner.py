"""The banner's page: an async view over one value."""

from __future__ import annotations

import pytest
from django.test import AsyncClient, Client

from testproject.banner.state import Site
from via_state.pod.pod import Pod


def test_a_script_replaces_the_banner_and_reads_it_back(client: Client, pod: Pod) -> None:
    written = client.post("/banner/?format=json", {"text": "Hello"}).json()
    read = client.get("/banner/?format=json").json()

    assert written == read == {"value": "Hello", "offset": None, "pod": pod.pod_id}


async def test_the_same_under_asgi(async_client: AsyncClient) -> None:
    await async_client.post("/banner/", {"text": "Hello"})

    assert (await async_client.get("/banner/?format=json")).json()["value"] == "Hello"


def test_a_person_who_replaces_the_banner_is_sent_back_to_the_page(client: Client) -> None:
    answer = client.post("/banner/", {"text": "<script>"}, follow=True)

    assert answer.redirect_chain == [("/banner/", 302)]
    assert ">&lt;script&gt;</output>" in answer.text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" ", "Write something: the banner can&#x27;t be empty."),
        ("x" * 121, "The banner has at most 120 characters, not 121."),
    ],
)
def test_a_bad_text_is_refused_with_a_sentence(client: Client, text: str, sentence: str) -> None:
    script = client.post("/banner/?format=json", {"text": text})
    page = client.post("/banner/", {"text": text})

    assert script.status_code == page.status_code == 400
    assert script.json() == {"error": sentence.replace("&#x27;", "'")}
    assert sentence in page.text
    assert Site.banner.read() == "Welcome"


def test_a_notice_says_how_many_tabs_of_this_process_it_reached(client: Client) -> None:
    assert client.post("/banner/?format=json", {"notice": "Tea is ready"}).json()["value"] == 0
    assert client.post("/banner/?format=json", {"notice": ""}).status_code == 400
