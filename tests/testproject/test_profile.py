"""The profile's page: a value for each session."""

from __future__ import annotations

import pytest
from django.test import AsyncClient, Client

pytestmark = pytest.mark.django_db


def test_a_script_gives_a_name_and_reads_it_back(client: Client) -> None:
    written = client.post("/profile/?format=json", {"name": "Ada"}).json()
    read = client.get("/profile/?format=json").json()

    assert written == read
    assert read["value"] == {"name": "Ada"}


def test_a_person_who_gives_a_name_is_sent_back_to_the_page(client: Client) -> None:
    answer = client.post("/profile/", {"name": "Ada"}, follow=True)

    assert answer.redirect_chain == [("/profile/", 302)]
    assert ">Ada</output>" in answer.text


def test_visitors_have_names_of_their_own(client: Client) -> None:
    client.post("/profile/", {"name": "Ada"})

    assert Client().get("/profile/?format=json").json()["value"] == {"name": ""}


def test_looking_does_not_start_a_session_but_for_the_page_itself(client: Client) -> None:
    client.get("/")
    client.get("/chat/lobby/")
    client.get("/profile/?format=json")
    assert "sessionid" not in client.cookies

    client.get("/profile/")
    assert "sessionid" in client.cookies


def test_looking_again_writes_nothing(client: Client) -> None:
    client.post("/profile/", {"name": "Ada"})
    key = client.cookies["sessionid"].value

    for _ in range(2):
        assert "sessionid" not in client.get("/profile/").cookies

    assert client.cookies["sessionid"].value == key
    assert client.get("/profile/?format=json").json()["value"] == {"name": "Ada"}


@pytest.mark.django_db(transaction=True)
async def test_the_same_sync_view_works_under_asgi(async_client: AsyncClient) -> None:
    await async_client.post("/profile/", {"name": "Ada"})

    assert (await async_client.get("/profile/?format=json")).json()["value"] == {"name": "Ada"}


@pytest.mark.parametrize(
    ("name", "sentence"), [("", "Give a name."), ("x" * 41, "A name has at most 40 characters, not 41.")]
)
def test_a_bad_name_is_refused_with_a_sentence(client: Client, name: str, sentence: str) -> None:
    script = client.post("/profile/?format=json", {"name": name})
    assert "sessionid" not in client.cookies
    page = client.post("/profile/", {"name": name})

    assert (script.status_code, script.json()) == (400, {"error": sentence})
    assert page.status_code == 400
    assert sentence in page.text
