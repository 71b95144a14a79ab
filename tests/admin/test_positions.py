"""Event handlers and their positions in the admin, and how a blocked record is moved into the dead letters."""

from __future__ import annotations

import asyncio
import html
import re
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models.functions import Now

from tests.admin.office import Office, change, changelist, entries, items, move_url, said
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, until
from via_state import Delivery, RetryAfter
from via_state.admin import blocked_records
from via_state.exceptions import BackplaneUnavailable
from via_state.models import DeadLetter, HandlerPosition, HandlerWorker
from via_state.operations.moves import plan
from via_state.operations.positions import move_to_dead_letters

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


def cells(page: str, row: int = 0) -> dict[str, str]:
    """The columns of a row of a list, as text."""
    body = page.partition("<tbody>")[2].split("<tr>")[row + 1]
    found = re.findall(r'<t[dh] class="(?:[\w-]+ )?field-(\w+)[^"]*">(.*?)</t[dh]>', body, re.DOTALL)
    return {name: html.unescape(re.sub(r"<[^>]+>", "", text)) for name, text in found}


def positions() -> Any:
    return HandlerPosition.objects.using(POSTGRES_ALIAS)


def test_a_stuck_handler_is_seen(office: Office) -> None:
    row = office.stuck(1, 2, 3)
    shown = cells(office.get(changelist("handlerposition")))
    assert (shown["key"], shown["handler_name"], shown["state"].partition(",")[0]) == ("orders", "ship", "stuck")
    assert (shown["lag"], shown["holder"]) == ("3", "nobody")
    assert shown["state"] == f"stuck, {row.attempts} attempts"
    assert shown["shown_error"] == "RuntimeError: no <b>1</b>"
    handler = cells(office.get(changelist("eventhandler")))
    assert (handler["name"], handler["template"], handler["in_code"]) == ("ship", "orders", "in this code")
    assert (handler["keys"], handler["stuck"], handler["halted"], handler["lag"]) == ("1", "1", "0", "3")
    page = office.get(change(row))
    assert "Move the blocked record into the dead letters" in page
    assert "RuntimeError: no &lt;b&gt;1&lt;/b&gt;" in page
    assert "Traceback (most recent call last)" in page
    blocked = page.partition("Blocked event")[2]
    assert "tests.handlers.world.Placed</strong> at offset 1" in blocked
    assert "&quot;number&quot;: 1" in blocked.partition("</pre>")[0]


def test_a_record_whose_handler_asks_for_time_is_seen_and_can_be_moved_aside(office: Office) -> None:
    shop = office.shop

    @shop.shelf().on_event("stock")
    def stock(event: Placed | Cancelled, delivery: Delivery) -> None:
        raise RetryAfter(600)

    worker = shop.work()
    shop.place(1, shelf=1)
    until(lambda: positions().exclude(last_error="").exists())
    shop.stop(worker)
    shown = cells(office.get(changelist("handlerposition")))
    assert shown["state"] == "asked for time"
    assert "RetryAfter: asked to be called again" in shown["shown_error"]
    row = office.position()
    assert not shop.world.run(plan(shop.world.inner, row, "head")).allowed, "it continues by itself"
    page = office.act("handlerposition", "move_selected", row.pk).content.decode()
    (token,) = items(page)
    office.client.post(move_url(), {"item": token})
    letter = DeadLetter.objects.using(POSTGRES_ALIAS).get()
    assert (letter.attempts, letter.first_failed_at) == (0, row.stuck_since)


def test_a_handler_that_is_done_has_no_lag(office: Office) -> None:
    worker = office.shop.work()
    office.shop.place(1, 2)
    until(lambda: positions().filter(offset=2, in_flight_offset=0).exists())
    shown = cells(office.get(changelist("handlerposition")))
    assert (shown["state"], shown["lag"]) == ("caught up", "0")
    assert f"process {HandlerWorker.objects.using(POSTGRES_ALIAS).get().pid}" in shown["holder"]
    assert cells(office.get(changelist("eventhandler")))["lag"] == "0"
    shown = cells(office.get(changelist("handlerworker")))
    assert shown["positions"] == "1"
    office.shop.world.run(worker._lease.ended())  # or it would renew it
    HandlerWorker.objects.using(POSTGRES_ALIAS).update(lease_until=Now() - timedelta(hours=1))
    assert "its lease is over" in cells(office.get(changelist("handlerposition")))["holder"]
    office.shop.stop(worker)


def test_a_handler_that_has_not_begun_lags_behind_everything(office: Office) -> None:
    worker = office.shop.work()
    office.shop.stop(worker)
    assert cells(office.get(changelist("eventhandler")))["lag"] == "0"
    office.shop.place(1, 2)
    assert not positions().exists()
    assert cells(office.get(changelist("eventhandler")))["lag"] == "2"


def test_a_handler_that_no_code_declares_is_shown_as_such(office: Office) -> None:
    row = office.stuck(1)
    office.shop.orders().definition.handlers.clear()
    assert cells(office.get(changelist("eventhandler")))["in_code"] == "not declared any more"
    page = office.get(f"{move_url()}?item={row.pk}")
    assert "Nothing in this code declares the event handler" in page
    assert items(page) == []


def test_many_keys_are_not_added_up(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.admin.handlers.SUMMED", 1)
    got: list[str] = []

    @office.shop.shelf().on_event("count")
    def count(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(delivery.key)

    worker = office.shop.work()
    for shelf in range(2):
        office.shop.place(1, shelf=shelf)
    until(lambda: len(got) == 2)
    office.shop.stop(worker)
    shown = cells(office.get(f"{changelist('eventhandler')}?q=count"))
    assert (shown["keys"], shown["lag"]) == ("2", "see its positions")
    assert "2 handler positions" in office.get(f"{changelist('handlerposition')}?q=shelf.")
    assert "1 handler position\n" in office.get(f"{changelist('handlerposition')}?q=shelf.1")


def test_the_pages_load_while_the_backplane_is_away(office: Office) -> None:
    row = office.stuck(1)

    async def away(key: str) -> Any:
        raise BackplaneUnavailable("away")

    office.shop.world.plane.head = away  # type: ignore[method-assign]
    assert cells(office.get(changelist("handlerposition")))["lag"] == "unknown"
    assert cells(office.get(changelist("eventhandler")))["lag"] == "unknown"
    assert "unknown" in office.get(change(row))


def test_the_pages_load_while_the_backplane_says_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.admin.lags.TIMEOUT", 0.05)
    monkeypatch.setattr("via_state.admin.blocked_records.TIMEOUT", 0.05)
    row = office.stuck(1)

    async def silent(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(office.shop.world.plane, "head", silent)
    monkeypatch.setattr(office.shop.world.plane, "read", silent)
    assert cells(office.get(changelist("handlerposition")))["lag"] == "unknown"
    assert "did not answer in time" in office.get(f"{move_url()}?item={row.pk}")


@pytest.mark.parametrize(
    ("state", "changed", "found"),
    [
        ("stuck", {}, 1),
        ("halted", {}, 0),
        ("running", {}, 0),
        ("stuck", {"halted": "history"}, 0),
        ("halted", {"halted": "history"}, 1),
        ("stuck", {"attempts": 0, "stuck_since": None}, 0),
    ],
)
def test_positions_are_filtered_by_how_they_stand(
    office: Office, state: str, changed: dict[str, Any], found: int
) -> None:
    row = office.stuck(1)
    positions().update(**changed)
    url = changelist("handlerposition")
    assert f"{found} handler position" in office.get(f"{url}?state={state}")
    assert f"{found} handler position" in office.get(f"{url}?state={state}&of={row.handler_id}")
    assert "0 handler position" in office.get(f"{url}?state={state}&of={row.handler_id + 1}")


# Moving the blocked record into the dead letters ---------------------------------------------------------------


def test_a_blocked_record_is_moved_after_it_was_shown(office: Office) -> None:
    row = office.stuck(1, 2)
    page = office.act("handlerposition", "move_selected", row.pk).content.decode()
    assert "tests.handlers.world.Placed" in page
    assert "&quot;number&quot;: 1" in page
    (token,) = items(page)
    assert token.startswith(f"{row.pk}:1:")
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()
    told = said(office.client.post(move_url(), {"item": token}))
    assert told == ["Moved: ship (orders) on orders, offset 1. It is a dead letter now."]
    letter = DeadLetter.objects.using(POSTGRES_ALIAS).get()
    assert (letter.offset, letter.error, letter.status) == (1, "RuntimeError: no <b>1</b>", "new")
    assert letter.traceback.startswith("Traceback (most recent call last)")
    assert letter.traceback.endswith("Moved into the dead letters by ann.")
    assert entries() == [(str(row), "ship (orders): moved the record at offset 1 into the dead letters.")]
    worker = office.shop.work()
    until(lambda: office.shipped == [2])
    office.shop.stop(worker)
    office.bad.clear()
    office.resolve("replay", letter)
    assert office.shipped == [2, 1]


def test_another_record_than_the_one_shown_is_never_moved(office: Office) -> None:
    row = office.stuck(1, 2)
    (token,) = items(office.get(f"{move_url()}?item={row.pk}"))
    office.bad = {2}
    worker = office.shop.work()
    until(lambda: office.position().offset == 1 and office.position().attempts > 0)
    office.shop.stop(worker)
    told = said(office.client.post(move_url(), {"item": token}))
    assert told == [
        "Not moved: ship (orders) on orders: Another record is blocked now than the one that was shown. Look again."
    ]
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()
    assert office.position().offset == 1
    assert entries() == []


def test_a_handler_that_continues_while_it_is_confirmed_is_left_alone(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = office.stuck(1, 2)
    (token,) = items(office.get(f"{move_url()}?item={row.pk}"))

    def late(*arguments: Any) -> bool:
        positions().filter(pk=row.pk).update(offset=1, attempts=0)
        return move_to_dead_letters(*arguments)

    monkeypatch.setattr(blocked_records, "move_to_dead_letters", late)
    told = said(office.client.post(move_url(), {"item": token}))
    assert told == ["Not moved: ship (orders) on orders: The handler has continued meanwhile. Look again."]
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()


def test_where_nothing_is_blocked_nothing_is_moved(office: Office) -> None:
    row = office.stuck(1)
    (token,) = items(office.get(f"{move_url()}?item={row.pk}"))
    positions().update(attempts=0, stuck_since=None)
    page = office.get(f"{move_url()}?item={row.pk}")
    assert "No record is blocked here." in page
    assert items(page) == []
    assert said(office.client.post(move_url(), {"item": token})) == [
        "Not moved: ship (orders) on orders: No record is blocked here."
    ]
    assert "Move the blocked record into the dead letters" not in office.get(change(row))
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()


def test_a_record_that_only_newer_code_knows_is_not_moved(office: Office) -> None:
    office.shop.raw("orders", b'[["Placed",9,{"number":1}]]')
    worker = office.shop.work()
    until(lambda: bool(positions().filter(stuck_since__isnull=False).exists()))
    office.shop.stop(worker)
    row = office.position()
    assert cells(office.get(changelist("handlerposition")))["state"] == "blocked"
    for attempts in (0, 3):
        positions().update(attempts=attempts)
        page = office.get(f"{move_url()}?item={row.pk}")
        assert "Only newer code knows the event." in page
        assert items(page) == []
    office.client.post(move_url(), {"item": f"{row.pk}:1:"})
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()


def test_a_log_that_was_made_again_loses_no_record_to_the_dead_letters(office: Office) -> None:
    row = office.stuck(1, 2)
    positions().update(offset=1, record_id="another")
    page = office.get(f"{move_url()}?item={row.pk}")
    assert "is not the log in which the handler has its position" in page
    assert items(page) == []


def test_a_halted_handler_is_for_resume_handler(office: Office) -> None:
    row = office.stuck(1)
    positions().update(halted="history", halted_text="It was restored.")
    page = office.get(f"{move_url()}?item={row.pk}")
    assert "manage.py resume_handler" in page
    assert items(page) == []
    assert "halted (history)" in office.get(changelist("handlerposition"))


def test_moving_needs_its_permission(office: Office) -> None:
    row = office.stuck(1)
    (token,) = items(office.get(f"{move_url()}?item={row.pk}"))
    office.sign_in("view_handlerposition", "replay_deadletter", "discard_deadletter")
    assert "move_selected" not in office.get(changelist("handlerposition"))
    assert move_url() not in office.get(change(row))
    assert office.client.get(f"{move_url()}?item={row.pk}").status_code == 403
    assert office.client.post(move_url(), {"item": token}).status_code == 403
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()
    office.sign_in("view_handlerposition", "move_to_dead_letters_handlerposition")
    assert move_url() in office.get(change(row))
    office.client.post(move_url(), {"item": token})
    assert DeadLetter.objects.using(POSTGRES_ALIAS).exists()


@pytest.mark.parametrize("item", ["", "x:y:z", "1:x:y", "9" * 30])
def test_what_no_page_of_ours_made_does_nothing(office: Office, item: str) -> None:
    office.stuck(1)
    assert said(office.client.post(move_url(), {"item": item})) == ["Choose 1 to 20 positions."]
    assert not DeadLetter.objects.using(POSTGRES_ALIAS).exists()


def test_the_admin_shows_a_position_whose_log_can_not_be_read(office: Office) -> None:
    row = office.stuck(1)
    rows = type(row).objects.using(POSTGRES_ALIAS).filter(pk=row.pk)
    rows.update(attempts=0, last_error="The log can't be read: refused")
    page = office.get(change(row))
    assert "can&#x27;t read its log" in page
    assert "Move the blocked record into the dead letters" not in page


def test_who_may_move_blocked_records_keeps_that_under_its_new_name(office: Office) -> None:
    migration = import_module("via_state.migrations.0016_permission_to_move_records")
    held = Permission.objects.get(codename=migration.NEW)
    User.objects.create_user("ben").user_permissions.add(held)
    Permission.objects.filter(pk=held.pk).update(codename=migration.OLD)
    for _ in range(2):
        with connection.schema_editor() as editor:
            migration.rename_permission(apps, editor)
        assert User.objects.get(username="ben").has_perm(f"via_state.{migration.NEW}")
        assert not Permission.objects.filter(codename=migration.OLD).exists()
