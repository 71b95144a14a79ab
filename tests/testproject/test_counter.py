"""The counter's page: for people, for scripts, from sync and async servers."""

from __future__ import annotations

import pytest
from django.test import AsyncClient, Client

from testproject.counter.state import Counter, Tick
from via_state.pod.pod import Pod
from via_state.testing.live.dom import parse


def test_a_script_reads_the_value_how_far_the_pod_has_read_and_which_pod_it_is(client: Client, pod: Pod) -> None:
    Counter.total.append_many([Tick(), Tick(), Tick()])

    answer = client.get("/counter/?format=json").json()

    assert answer == {"value": 3, "offset": 3, "pod": pod.pod_id}


def test_a_script_adds_one_and_learns_its_offset(client: Client, pod: Pod) -> None:
    client.post("/counter/?format=json")

    answer = client.post("/counter/?format=json").json()

    assert answer == {"value": 2, "offset": 2, "pod": pod.pod_id}


def test_a_person_who_adds_one_is_sent_back_to_the_page(client: Client) -> None:
    answer = client.post("/counter/", follow=True)

    assert answer.redirect_chain == [("/counter/", 302)]
    assert parse(answer.text).find("#total output")[0].text == "1"


def test_a_post_without_the_token_adds_nothing() -> None:
    client = Client(enforce_csrf_checks=True)

    assert client.post("/counter/?format=json").status_code == 403
    assert client.get("/counter/?format=json").json()["value"] == 0


@pytest.mark.parametrize("page", ["/counter/", "/counter/?format=json"])
def test_the_token_of_either_answer_lets_a_script_post(page: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.get(page)
    token = client.cookies["csrftoken"].value

    answer = client.post("/counter/?format=json", headers={"X-CSRFToken": token})

    assert answer.json()["value"] == 1


def test_reading_does_not_start_a_session(client: Client) -> None:
    client.get("/counter/")
    client.post("/counter/")

    assert "sessionid" not in client.cookies


async def test_the_same_sync_view_works_under_asgi(async_client: AsyncClient) -> None:
    await async_client.post("/counter/")

    answer = (await async_client.get("/counter/?format=json")).json()

    assert (answer["value"], answer["offset"]) == (1, 1)


def test_other_methods_are_refused(client: Client) -> None:
    assert client.delete("/counter/").status_code == 405
