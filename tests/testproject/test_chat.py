"""The rooms' pages: async views over one log for each room."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from testproject.chat.state import REMEMBERED, Chat, Posted
from via_state.pod import attendance
from via_state.testing.live import LiveTab, live_tab


def line(author: str, text: str, note: bool = False) -> dict[str, object]:
    return {"author": author, "text": text, "note": note}


def test_a_script_says_something_and_reads_it_back(client: Client) -> None:
    said = client.post("/chat/lobby/?format=json", {"text": "hello"}).json()
    read = client.get("/chat/lobby/?format=json").json()

    assert said == read
    assert (read["value"], read["offset"]) == ([line("guest", "hello")], 1)


async def test_the_same_under_asgi(async_client: AsyncClient) -> None:
    await async_client.post("/chat/lobby/", {"text": "hello"})

    answer = (await async_client.get("/chat/lobby/?format=json")).json()

    assert answer["value"] == [line("guest", "hello")]


def test_rooms_do_not_hear_each_other(client: Client) -> None:
    client.post("/chat/lobby/", {"text": "hello"})

    assert client.get("/chat/kitchen/?format=json").json()["value"] == []


def test_a_person_who_says_something_is_sent_back_to_the_room(client: Client) -> None:
    answer = client.post("/chat/caf%C3%A9/", {"text": "1 < 2"}, follow=True)

    assert answer.redirect_chain == [("/chat/caf%C3%A9/", 302)]
    assert "<b>guest</b> <span>1 &lt; 2</span></li>" in answer.text


def test_coming_and_going_is_noted(client: Client) -> None:
    client.post("/chat/lobby/", {"action": "join"})

    answer = client.post("/chat/lobby/?format=json", {"action": "leave"}).json()

    assert answer["value"] == [line("guest", "joined", note=True), line("guest", "left", note=True)]


@pytest.mark.django_db
def test_a_line_shows_the_name_of_the_visitors_profile(client: Client) -> None:
    client.post("/profile/", {"name": "Ada"})

    answer = client.post("/chat/lobby/?format=json", {"text": "hello"}).json()

    assert answer["value"] == [line("Ada", "hello")]


@pytest.mark.django_db(transaction=True)
def test_a_room_shows_who_is_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendance, "GATHER", 0.02)
    monkeypatch.setattr(attendance, "APART", 0.02)
    monkeypatch.setattr(attendance, "LEAVING", 0.1)
    client.force_login(User.objects.create_user("ada"))

    def shown(tab: LiveTab) -> list[str]:
        return [one.text for one in tab.page.find(".here li")]

    with live_tab(client, "/chat/café/") as ada:
        ada.until(lambda: shown(ada) == ["ada"])
        with live_tab(Client(), "/chat/café/") as guest:
            for tab in (ada, guest):
                tab.until(lambda tab=tab: shown(tab) == ["ada", "visitor"])  # type: ignore[misc]
        ada.until(lambda: shown(ada) == ["ada"])


def test_a_room_remembers_its_last_lines(client: Client) -> None:
    Chat.room.at(room="lobby").append_many([Posted("Ada", str(number)) for number in range(REMEMBERED + 5)])

    lines = client.get("/chat/lobby/?format=json").json()["value"]

    assert len(lines) == REMEMBERED
    assert lines[-1] == line("Ada", str(REMEMBERED + 4))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Write something: an empty message is not sent."),
        ({"text": "   "}, "Write something: an empty message is not sent."),
        ({"text": "x" * 501}, "A message has at most 500 characters, not 501."),
        ({"text": "a\0b"}, "Null characters are not allowed."),
        ({"text": "hello", "action": "shout"}, "The action is one of: post, join, leave."),
    ],
)
def test_a_bad_message_is_refused_with_a_sentence(client: Client, fields: dict[str, str], sentence: str) -> None:
    script = client.post("/chat/lobby/?format=json", fields)
    page = client.post("/chat/lobby/", fields)

    assert (script.status_code, script.json()) == (400, {"error": sentence})
    assert page.status_code == 400
    assert Chat.room.at(room="lobby").read() == []
    assert "action" in fields or sentence in page.text


@pytest.mark.parametrize("room", ["a b", "a.b", "<b>", "~", "a\0b", "a\n"])
def test_a_room_with_odd_characters_is_refused_with_a_sentence(client: Client, room: str) -> None:
    script = client.post(f"/chat/{_quoted(room)}/?format=json", {"text": "hello"})
    page = client.get(f"/chat/{_quoted(room)}/")

    assert script.status_code == page.status_code == 400
    assert script.json()["error"].endswith(
        ("A room's name has letters, digits, - and _ only.", "Null characters are not allowed.")
    )
    assert 'class="errorlist"' in page.text


def test_a_room_with_a_long_name_is_refused(client: Client) -> None:
    answer = client.get(f"/chat/{'x' * 41}/?format=json")

    assert (answer.status_code, answer.json()["error"]) == (400, "A room's name has at most 40 characters.")


def test_the_list_of_rooms_leads_to_a_room_of_any_name(client: Client) -> None:
    assert client.get("/chat/").status_code == 200
    assert client.get("/chat/", {"room": "küche"}).headers["Location"] == "/chat/k%C3%BCche/"

    empty = client.get("/chat/", {"room": ""})
    assert empty.status_code == 400
    assert "Give the room a name." in empty.text


def _quoted(room: str) -> str:
    return "".join(f"%{byte:02X}" for byte in room.encode())
