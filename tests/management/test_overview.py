"""One look that says whether it is well: as text, and as the admin's page, in each state of the world."""

from __future__ import annotations

import io
import json
import re
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.admin.office import Office
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.handlers.world import until
from via_state.bookkeeping.database import halted_keys, outbox, peers, tables
from via_state.bookkeeping.database import rates as stored_rates
from via_state.bookkeeping.database.rates import RowRates
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.bookkeeping.peers import Code, Peer
from via_state.bookkeeping.positions import BLOCKED
from via_state.bookkeeping.rates import Done, What
from via_state.models import OutboxRecord
from via_state.operations import condition
from via_state.operations import overview as looking
from via_state.operations.doctor import handlers as judging
from via_state.operations.overview import overview
from via_state.pod import rates

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
URL = "/admin/via_state/overview/"
STATEMENTS = 10


def text(*arguments: str) -> tuple[int, str]:
    out, code = io.StringIO(), 0
    try:
        call_command("state_overview", *arguments, stdout=out, no_color=True)
    except SystemExit as error:
        code = int(error.code or 0)
    return code, out.getvalue()


def needs() -> list[str]:
    """The ids of what is to do."""
    return [one["id"] for one in json.loads(text("--json")[1])["needs"]]


def test_a_project_that_is_well_is_one_green_line(office: Office) -> None:
    worker = office.shop.work()
    office.shop.place(1, 2)
    until(lambda: office.shipped == [1, 2])
    office.shop.settle(worker)
    code, said = text()
    assert code == 0
    assert "All well: 2 declared logs, 1 event handler, 1 worker, " in said
    assert "oldest event that waits: 0 s" in said
    assert re.search(r"^ship +orders +0 +0 +0 +0 +-$", said, re.MULTILINE)
    assert re.search(r"^orders +2 +0 +0 +1 +-$", said, re.MULTILINE)
    assert re.search(r"^shelf\.\{shelf\} +family +0 +0 +-$", said, re.MULTILINE)
    with pytest.raises(CommandError, match="--most is 0"):
        text("--most", "0")
    page = office.get(URL)
    assert "All well: 2 declared logs, 1 event handler, 1 worker." in page
    assert "to do" not in page
    assert reverse("admin:via_state_overview_changelist") == URL


def test_what_is_stuck_is_said_first_with_its_age_and_where_to_look(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "STUCK", 0.0)
    office.letters(5)
    office.stuck(3, 4)
    assert needs() == ["D311", "D301", "D303"]
    code, said = text()
    assert code == 1
    assert "3 things to do:" in said
    assert "docs/troubleshooting.md#d311" in said
    assert re.search(r"^ship +orders +1 +0 +0 +1 +\d+ s$", said, re.MULTILINE)
    page = office.get(URL)
    assert "no &lt;b&gt;3&lt;/b&gt;" in page  # what a handler raised is escaped
    assert 'href="/admin/via_state/deadletter/?status__exact=new"' in page
    assert re.search(r'href="/admin/via_state/handlerposition/\?of=\d+">ship', page)
    assert "What people did" not in page


def test_what_people_did_is_shown_to_those_who_may_see_it(office: Office) -> None:
    [letter] = office.letters(5)
    office.resolve("discard", letter)
    page = office.get(URL)
    assert "What people did" in page
    assert f"{letter}: " in page
    office.sign_in("view_overview")
    page = office.get(URL)
    assert f"{letter}: " not in page
    assert "/admin/via_state/handlerposition/" not in page


def test_nobody_sees_it_without_the_permission(office: Office) -> None:
    office.sign_in("view_deadletter")
    assert office.client.get(URL).status_code == 403
    assert office.client.post(URL).status_code == 403
    assert (
        Permission.objects.filter(content_type__app_label="via_state", codename__endswith="_overview").count() == 1
    )


def test_halted_keys_processes_and_the_outbox_are_shown(office: Office) -> None:
    office.shop.world.plane.fail("append", *[Fault.BEFORE] * 1000)
    halted_keys._change("one", {}, {"shelf.7": HaltReport("code", "the newer code is missing", 7)})
    outbox.add("orders", 1, b"[]")
    OutboxRecord.objects.using(POSTGRES_ALIAS).update(created=Now() - timedelta(hours=3))
    for number, code in ((1, "aaaa"), (2, "bbbb")):
        peers._renew(Peer(f"peer{number}", f"web-{number}", number, code=Code({"orders": code}, {})), 60.0)
    tables.peers.rows().filter(id__startswith="peer").update(started_at=Now() - timedelta(hours=3))
    assert needs() == ["D305", "D301", "D304", "D306"]
    found = overview(office.shop.pod)
    assert [(one.template, one.halted) for one in found.logs] == [("shelf.{shelf}", 1), ("orders", 0)]
    page = office.get(URL)
    assert "the newer code is missing" in page
    assert "web-2, process 2" in page
    assert re.search(r"<td>1</td><td>3 h</td><td>0</td>", page)


def test_a_backplane_that_is_away_leaves_its_part_unknown(office: Office) -> None:
    office.shop.stop(office.shop.work())
    office.shop.place(1)
    office.shop.world.plane.down = True
    code, said = text()
    assert code == 1
    assert needs() == ["D200", "D301"]
    assert "Unknown: heads and waiting events. heads: injected" in said
    assert re.search(r"^orders +unknown +unknown +0 +1 +unknown$", said, re.MULTILINE)
    assert "Heads and waiting events are unknown. heads: injected" in office.get(URL)


def test_a_backplane_that_is_slow_costs_a_moment(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(looking, "ANSWER", 0.05)

    async def slow(keys: object) -> Any:
        await asyncio.sleep(30)

    monkeypatch.setattr(office.shop.world.plane, "heads", slow)
    assert "The backplane did not answer within 0.05 s." in text()[1]


def test_a_database_that_says_no_is_a_sentence_on_the_page(office: Office) -> None:
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_deadletter RENAME TO elsewhere")
    try:
        assert "lacks a table or a column of via_state. Run: manage.py migrate" in office.get(URL)
        with pytest.raises(CommandError, match=r"manage\.py migrate"):
            text()
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO via_state_deadletter")


def test_with_the_memory_backplane_the_page_says_so(client: Client) -> None:
    client.force_login(User.objects.create_superuser("eve"))
    assert "uses the memory backplane" in client.get(URL).content.decode()
    with pytest.raises(CommandError, match="memory backplane"):
        text()


def test_the_worst_logs_are_found_without_a_look_at_the_others(office: Office) -> None:
    def status(*arguments: str) -> list[str]:
        out = io.StringIO()
        with suppress(SystemExit):
            call_command("state_status", "--json", *arguments, stdout=out)
        return [one["key"] for one in json.loads(out.getvalue())]

    assert status("--worst", "3") == []
    office.stuck(3, 4)
    for shelf in range(5):
        office.shop.place(1, shelf=shelf)
    halted_keys._change("one", {}, {"shelf.3": HaltReport("code", "the newer code is missing", 7)})
    assert len(status()) == 6
    office.shop.world.plane.calls.clear()
    assert status("--worst", "9") == ["shelf.3", "orders"]
    assert status("--worst", "1") == ["shelf.3"]
    assert "logs" not in office.shop.world.plane.calls
    with pytest.raises(CommandError, match="--worst a number from 1"):
        status("--worst", "0")


def test_a_database_that_is_slow_is_said_to_be(office: Office) -> None:
    """Somebody has locked a table of ours: after a moment the page says so, in place of hanging with it."""
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("SET statement_timeout = '300ms'")
    other = connections[POSTGRES_ALIAS].copy()
    try:
        other.connect()
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE via_state_deadletter IN ACCESS EXCLUSIVE MODE")
        page = office.get(URL)
        assert "canceling statement due to statement timeout" in page
        assert "manage.py state_doctor --bad" in page
        with pytest.raises(CommandError, match="statement timeout"):
            text()
    finally:
        other.rollback()
        other.close()
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("RESET statement_timeout")
    assert "to do" in office.get(URL) or "All well" in office.get(URL)


def test_a_handler_that_waits_for_newer_code_is_shown_as_blocked(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "STUCK", 0.0)
    office.stuck(3, 4)
    tables.positions.rows().update(last_error=BLOCKED, attempts=0)
    page = office.get(URL)
    assert "can&#x27;t continue" in page
    assert "Finish, or roll back, the deploy" in page
    assert "Move the record" not in page
    [line] = overview(office.shop.pod).handlers
    assert (line.stuck, line.blocked, line.halted) == (0, 1, 0)
    tables.positions.rows().update(halted="epoch", halted_text="The log was restored.", stuck_since=None)
    [line] = overview(office.shop.pod).handlers
    assert (line.stuck, line.blocked, line.halted) == (0, 0, 1)
    assert needs()[0] == "D311"
    assert "The log was restored." in office.get(URL)


def test_the_statements_do_not_grow_with_a_family(office: Office) -> None:
    @office.shop.shelf().on_event("count")
    def count(event: object, delivery: object) -> None:
        pass

    def asked() -> int:
        office.shop.world.plane.calls.clear()
        with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as captured:
            overview(office.shop.pod)
        assert len(captured) <= STATEMENTS
        return len(captured) + sum(office.shop.world.plane.calls.values())

    office.shop.stop(office.shop.work())
    office.shop.place(1, shelf=0)
    few = asked()
    for shelf in range(60):
        office.shop.place(1, shelf=shelf)
    assert asked() == few


def test_the_books_may_be_in_sqlite(db: None) -> None:
    assert connections["default"].vendor == "sqlite"
    tables.handlers.create(template="orders", name="ship", start="first", ready=True, registered_at=Now())
    handler = tables.handlers.rows().get()
    ago: Any = Now() - timedelta(hours=3)
    for number, columns in enumerate(
        ({"stuck_since": ago, "last_error": BLOCKED}, {"stuck_since": ago}, {"halted": "epoch"})
    ):
        row = tables.positions.new(
            handler=handler, key=f"k{number}", position_hash=f"{handler.pk} {number}", **columns
        )
        row.save(using="default")
    letter: dict[str, Any] = {
        "epoch": "e",
        "offset": 1,
        "event_name": "Placed",
        "event_version": 1,
        "payload": "{}",
        "attempts": 1,
    }
    for number in range(3):
        tables.dead_letters.create(
            template=f"t{number // 2}", handler="ship", key="k", record_id=f"r{number}", added_at=ago, **letter
        )
    found = condition.read()
    assert found.states == {handler.pk: {"stuck": 1, "blocked": 1, "halted": 1}}
    assert sorted((one.at.key, round(one.age)) for one in found.troubles) == [
        ("k0", 10800),
        ("k1", 10800),
        ("k2", 0),
    ]
    assert {of: (number, round(age)) for of, (number, age) in found.letters.items()} == {
        ("ship", "t0"): (2, 10800),
        ("ship", "t1"): (1, 10800),
    }


def test_a_handler_that_hangs_is_not_well(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker lives, and nothing fails."""
    monkeypatch.setattr(looking, "LATE", 0.0)
    hang = threading.Event()
    began = threading.Event()

    @office.shop.orders().on_event("slow")
    def slow(event: object, delivery: object) -> None:
        began.set()
        hang.wait(60)

    office.shop.work()
    office.shop.place(1)
    assert began.wait(60)
    try:
        until(lambda: office.shipped == [1])
        found = overview(office.shop.pod)
        assert [one.id for one in found.needs] == ["D313"]
        assert found.needs[0].text.startswith("An event of 'orders' has waited for 'slow' for ")
    finally:
        hang.set()


def stored(office: Office) -> dict[tuple[str, str], tuple[int, int]]:
    """What all processes did, after this one has stored what it did."""

    async def store() -> None:
        await rates.Rates(RowRates(office.shop.pod.database)).store()

    office.shop.pod.thread.call(store())
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for row in tables.rates.rows():
        done, failed = found.get((row.template, row.handler), (0, 0))
        found[row.template, row.handler] = done + row.done, failed + row.failed
    return found


def test_what_all_processes_did_is_shown_a_minute(office: Office) -> None:
    """Two processes count into the same minutes; the page draws them, and the text says how much it was."""
    rates.take()
    office.bad |= {3}
    worker = office.shop.work()
    office.shop.place(1, 2, 3)
    until(lambda: stored(office).get(("orders", "ship"), (0, 0)) >= (2, 1))
    office.shop.stop(worker)
    until(lambda: stored(office)["", ""] == (3, 0))
    rows = list(tables.rates.rows())
    failed = stored(office)["orders", "ship"][1]
    tables.rates.rows().update(minute=F("minute") - 10)
    stored_rates._add(
        {What(row.minute - 10, row.template, row.handler): Done(row.done, row.failed) for row in rows}
    )
    found = overview(office.shop.pod).flow
    assert (sum(found.appended), sum(found.delivered), sum(found.failed)) == (6, 4, 2 * failed)
    said = text()[1]
    assert (
        f"Last 30 min: 6 events appended (now 0/min), 4 deliveries (now 0/min), {2 * failed} that failed (now 0/min)."
        in said
    )
    page = office.get(URL)
    assert "Deliveries of ship in each of the last 30 minutes: " in page
    assert page.count("<polyline") == 4


def test_what_could_not_be_stored_is_stored_later(office: Office) -> None:
    rates.take()
    office.shop.place(1)
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE via_state_rate RENAME TO elsewhere")
    try:
        with pytest.raises(DatabaseError):
            stored(office)
    finally:
        with connections[POSTGRES_ALIAS].cursor() as cursor:
            cursor.execute("ALTER TABLE elsewhere RENAME TO via_state_rate")
    until(lambda: stored(office) == {("", ""): (1, 0)})
