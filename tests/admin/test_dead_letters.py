"""Dead letters in the admin: who may do what to them, and what that does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models.signals import pre_save
from django.test import AsyncClient

from tests.admin.office import Office, change, changelist, entries, items, resolve_url, said
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, until
from via_state import Delivery, Poison
from via_state.admin import resolutions
from via_state.admin.resolutions import REPLAY
from via_state.models import DeadLetter

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


def test_the_list_shows_the_newest_first(office: Office) -> None:
    office.letters(1, 2)
    page = office.get(changelist("deadletter"))
    assert "via_state.exceptions.Poison: 1 is bad" in page
    assert page.index("2 is bad") < page.index("1 is bad")
    assert "2 dead letters" in page


def test_a_page_shows_the_event_as_the_code_reads_it(office: Office) -> None:
    (letter,) = office.letters(7)
    page = office.get(change(letter))
    assert "tests.handlers.world.Placed" in page
    assert "&quot;number&quot;: 7" in page
    assert "Traceback (most recent call last)" in page
    assert "where it stands now" in page
    office.resolve("discard", letter)
    assert "ann: Discarded." in office.get(change(letter))


def test_the_parameters_of_a_key_are_shown_and_given_to_a_replay(office: Office) -> None:
    shop, got, bad = office.shop, list[str](), [True]

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        if bad:
            raise Poison("not today")
        got.append(delivery.parameters["shelf"])

    worker = shop.work()
    shop.shelf().using(shop.pod).at(shelf="a.<b>").append(Placed(1))
    rows = DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    until(rows.exists)
    shop.stop(worker)
    letter = rows.get()
    assert "shelf = &#x27;a.&lt;b&gt;&#x27;" in office.get(change(letter))
    assert "shelf = &#x27;a.&lt;b&gt;&#x27;" in office.get(change(office.position()))
    bad.clear()
    office.resolve("replay", letter)
    assert got == ["a.<b>"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"event_version": 9}, "it is newer"),
        ({"event_name": "Gone"}, "it is unknown"),
        ({"payload": '{"other": true}'}, "it is undecodable"),
        ({"payload": "not json"}, "it is undecodable"),
        ({"template": "gone"}, "declares no such log"),
    ],
)
def test_what_this_code_cannot_read_is_shown_as_it_is_stored(
    office: Office, changed: dict[str, object], problem: str
) -> None:
    (letter,) = office.letters(7)
    DeadLetter.objects.using(POSTGRES_ALIAS).filter(pk=letter.pk).update(**changed)
    page = office.get(change(letter))
    assert problem in page
    assert str(changed.get("payload", "number")).split('"')[0].strip("{") in page


def test_a_replay_asks_first_and_resolves_the_record(office: Office) -> None:
    first, second = office.letters(1, 2)
    asked = office.act("deadletter", "replay_selected", first.pk, second.pk)
    page = asked.content.decode()
    assert items(page) == [str(first.pk), str(second.pk)]
    assert "2 records" in page
    assert office.shipped == []
    (told,) = office.resolve("replay", first, second)
    assert told == "Replayed: ship: orders at 1; ship: orders at 2."
    assert office.shipped == [1, 2]
    first.refresh_from_db()
    assert (first.status, first.resolved_by, first.attempts) == ("replayed", "ann", 2)
    assert entries() == [("ship: orders at 1", "Replayed."), ("ship: orders at 2", "Replayed.")]


def test_a_replay_that_fails_again_says_its_new_error(office: Office) -> None:
    first, second = office.letters(1, 2)
    office.bad = {1}
    told = office.resolve("replay", first, second)
    assert told == [
        "Replayed: ship: orders at 2.",
        "Not replayed: ship: orders at 1: failed again: RuntimeError: no <b>1</b>",
    ]
    first.refresh_from_db()
    assert (first.status, first.error, first.attempts) == ("new", "RuntimeError: no <b>1</b>", 2)
    assert entries()[0] == ("ship: orders at 1", "Replay failed: RuntimeError: no <b>1</b>")


def test_what_somebody_else_resolved_is_not_done_again(office: Office) -> None:
    (letter,) = office.letters(1)
    office.resolve("discard", letter)
    told = office.resolve("replay", letter)
    assert told == ["Not replayed: ship: orders at 1: It is resolved already: discarded by ann."]
    assert office.shipped == []
    assert entries() == [("ship: orders at 1", "Discarded.")]
    page = office.get(f"{resolve_url('replay')}?item={letter.pk}")
    assert items(page) == []
    assert "It is resolved already: discarded by ann." in page
    assert "Yes, replay" not in page


def test_a_discarded_record_stays_in_the_list(office: Office) -> None:
    (letter,) = office.letters(1)
    assert office.resolve("discard", letter) == ["Discarded: ship: orders at 1."]
    letter.refresh_from_db()
    assert (letter.status, letter.resolved_by) == ("discarded", "ann")
    assert office.shipped == []
    assert "1 dead letter" in office.get(f"{changelist('deadletter')}?status__exact=discarded")
    assert "0 dead letters" in office.get(f"{changelist('deadletter')}?status__exact=new")


def test_a_handler_that_no_code_declares_is_named(office: Office) -> None:
    (letter,) = office.letters(1)
    office.shop.orders().definition.handlers.clear()
    page = office.get(f"{resolve_url('replay')}?item={letter.pk}")
    assert "Nothing in this code declares its event handler." in page
    assert items(page) == []
    (told,) = office.resolve("replay", letter)
    assert "Nothing in this code declares its event handler." in told
    assert items(office.get(f"{resolve_url('discard')}?item={letter.pk}")) == [str(letter.pk)]


def test_all_across_pages_is_bounded(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.admin.dead_letters.MOST", 2)
    found = office.letters(1, 2, 3)
    page = office.act("deadletter", "replay_selected", found[0].pk, across=True).content.decode()
    assert items(page) == [str(found[1].pk), str(found[2].pk)]
    assert "manage.py replay_dead_letters" in page
    assert office.resolve("replay", *found) == ["Choose 1 to 2 dead letters."]
    assert office.shipped == []


def test_a_request_ends_when_its_time_is_up(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    found = office.letters(1, 2)
    monkeypatch.setattr(resolutions, "SECONDS", -1.0)
    told = office.resolve("replay", *found)
    assert [one.partition(": not")[2] for one in told] == [" tried, because the time of one request was up."] * 2
    assert office.shipped == []


async def test_an_async_handler_is_replayed_by_an_async_server(office: Office) -> None:
    got: list[int] = []

    @sync_to_async
    def prepare() -> DeadLetter:
        (letter,) = office.letters(1)
        office.shop.orders().definition.handlers.clear()

        @office.shop.orders().on_event("ship")
        async def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            await asyncio.sleep(0)
            got.append(event.number)

        return letter

    letter = await prepare()
    client = AsyncClient()
    await client.aforce_login(await User.objects.aget(username="ann"))
    page = await client.get(f"{resolve_url('replay')}?item={letter.pk}")
    assert items(page.content.decode()) == [str(letter.pk)]
    answer = await client.post(resolve_url("replay"), {"item": letter.pk})
    assert answer.status_code == 302
    assert got == [1]
    assert (await client.get(changelist("handlerposition"))).status_code == 200
    await sync_to_async(connections.close_all)()


def test_each_replay_is_kept_whatever_becomes_of_the_request(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = office.letters(1, 2)
    monkeypatch.setitem(connections[POSTGRES_ALIAS].settings_dict, "ATOMIC_REQUESTS", True)
    run = REPLAY.run

    def failing(letter: DeadLetter, by: str) -> resolutions.Outcome:
        if letter.pk == found[1].pk:
            raise OSError("the server stops")
        return run(letter, by)

    monkeypatch.setitem(resolutions.RESOLUTIONS, "replay", replace(REPLAY, run=failing))
    with pytest.raises(OSError, match="the server stops"):
        office.resolve("replay", *found)
    assert [DeadLetter.objects.using(POSTGRES_ALIAS).get(pk=one.pk).status for one in found] == ["replayed", "new"]
    assert entries() == [("ship: orders at 1", "Replayed.")]


def test_a_replay_whose_hook_raises_after_the_commit_is_done_and_logged(office: Office) -> None:
    (letter,) = office.letters(1)
    office.shop.orders().definition.handlers.clear()

    def fail() -> None:
        raise OSError("no chat")

    @office.shop.orders().on_event("ship", atomic=True)
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        transaction.on_commit(fail, using=POSTGRES_ALIAS)

    assert office.resolve("replay", letter) == ["Replayed: ship: orders at 1."]
    assert entries() == [("ship: orders at 1", "Replayed.")]


def test_what_is_done_is_told_also_where_the_admins_log_fails(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = office.letters(1, 2)

    def fail(**_: object) -> None:
        raise OSError("the disk is full")

    pre_save.connect(fail, sender=LogEntry)
    try:
        told = office.resolve("replay", *found)
    finally:
        pre_save.disconnect(fail, sender=LogEntry)
    assert told[-1] == "Replayed: ship: orders at 1; ship: orders at 2."
    assert told[0] == "ship: orders at 1: done, but the admin's log could not keep it."
    assert office.shipped == [1, 2]
    assert "ann: ship: orders at 1: Replayed." in caplog.text


def test_a_project_with_another_prefix_sees_nothing(office: Office) -> None:
    (letter,) = office.letters(1)
    DeadLetter.objects.using(POSTGRES_ALIAS).filter(pk=letter.pk).update(prefix="another")
    assert "0 dead letters" in office.get(changelist("deadletter"))
    assert office.client.get(change(letter)).status_code == 302
    office.resolve("replay", letter)
    assert office.shipped == []


@pytest.mark.parametrize("name", ["replay", "discard"])
def test_each_action_needs_its_permission(office: Office, name: str) -> None:
    (letter,) = office.letters(1)
    other = {"replay": "discard", "discard": "replay"}[name]
    office.sign_in("view_deadletter", f"{other}_deadletter")
    listed, page = office.get(changelist("deadletter")), office.get(change(letter))
    assert f'value="{name}_selected"' not in listed
    assert f'value="{other}_selected"' in listed
    assert resolve_url(name) not in page
    assert resolve_url(other) in page
    assert office.client.get(f"{resolve_url(name)}?item={letter.pk}").status_code == 403
    assert office.client.post(resolve_url(name), {"item": letter.pk}).status_code == 403
    answer = office.act("deadletter", f"{name}_selected", letter.pk)
    assert (answer.status_code, said(answer)) == (302, ["No action selected."])
    letter.refresh_from_db()
    assert letter.status == "new"
    assert entries() == []
    office.sign_in("view_deadletter", f"{name}_deadletter")
    assert office.resolve(name, letter)
    letter.refresh_from_db()
    assert letter.status != "new"


def test_who_may_not_view_may_not_resolve(office: Office) -> None:
    (letter,) = office.letters(1)
    office.sign_in("replay_deadletter")
    assert office.client.post(resolve_url("replay"), {"item": letter.pk}).status_code == 403
    assert office.client.get(changelist("deadletter")).status_code == 403


def test_a_visitor_is_sent_to_the_login(office: Office) -> None:
    (letter,) = office.letters(1)
    office.client.logout()
    answer = office.client.post(resolve_url("replay"), {"item": letter.pk})
    assert answer.headers["Location"].startswith("/admin/login/")
    assert office.shipped == []


def test_an_answer_from_another_site_is_refused(office: Office) -> None:
    (letter,) = office.letters(1)
    office.client.handler.enforce_csrf_checks = True
    assert office.client.post(resolve_url("replay"), {"item": letter.pk}).status_code == 403
    assert office.shipped == []


@pytest.mark.parametrize("item", ["", "x", "9" * 40, "-1", "1 OR 1=1"])
def test_what_is_no_number_does_nothing(office: Office, item: str) -> None:
    office.letters(1)
    answer = office.client.post(resolve_url("replay"), {"item": item})
    assert said(answer) == [f"Choose 1 to {resolutions.MOST} dead letters."]
    assert office.client.get(resolve_url("other")).status_code == 404
