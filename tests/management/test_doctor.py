"""What the doctor finds in a project, with each fault really made."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from testproject.servers.ports import free_port
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from via_state import Delivery, Poison
from via_state.bookkeeping.database import halted_keys, outbox, peers, tables, workers
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.bookkeeping.peers import Code, Peer
from via_state.models import OutboxRecord
from via_state.operations.doctor import handlers as handlers_part
from via_state.operations.doctor.catalog import IDS, anchor
from via_state.operations.doctor.doctor import examine
from via_state.pod.default import use_pod

pytestmark = [
    pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True),
    pytest.mark.usefixtures("postgres"),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    settings.SILENCED_SYSTEM_CHECKS = ["via_state.D103"]  # the tests' server need not outlive a power cut
    with shop_of("postgres") as made, use_pod(made.pod):
        yield made


def doctor(*arguments: str) -> tuple[int, str]:
    out, code = io.StringIO(), 0
    try:
        call_command("state_doctor", *arguments, stdout=out, no_color=True)
    except SystemExit as error:
        code = int(error.code or 0)
    return code, out.getvalue()


def problems() -> dict[str, str]:
    """The texts of what is wrong, by id."""
    code, said = doctor("--json", "--bad")
    found = json.loads(said)
    assert code == bool(found)
    assert all(one["level"] == "bad" and one["hint"] for one in found)
    return {id: " ".join(one["text"] for one in found if one["id"] == id) for id in {one["id"] for one in found}}


def declare(shop: Shop, dead: bool = False) -> Any:
    @shop.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 13:
            raise Poison("never") if dead else RuntimeError("the carrier is away")

    return ship


def test_a_project_that_is_well_is_said_to_be(shop: Shop) -> None:
    declare(shop)
    shop.work()
    shop.place(1)
    began = time.monotonic()
    code, said = doctor()
    assert (code, said.splitlines()[-1]) == (0, "0 problems."), said
    assert re.search(r"^OK +D110 +A doorbell came after [\d.]+ ms\.$", said, re.MULTILINE)
    assert time.monotonic() - began < 10  # it waits for nothing
    shown = json.loads(doctor("--json")[1])
    assert {one["id"] for one in shown} == {id for id in IDS if not id.startswith("D2")} - {"D103", "D313"}


def test_handlers_without_a_worker_are_named(shop: Shop) -> None:
    declare(shop)
    assert problems()["D301"] == "1 event handler is declared, and no worker is alive."
    shop.stop(shop.work())
    assert problems()["D301"] == "1 event handler is registered, and no worker is alive."
    workers.renew("killed", "group", -1.0, "")  # its lease is over
    assert "was heard of until" in problems()["D301"]


def test_a_handler_that_is_in_no_code_is_named(shop: Shop) -> None:
    tables.handlers.create(template="orders", name="audit", start="first", ready=True, registered_at=Now())
    text = problems()["D302"]
    assert text.startswith("The event handler 'audit' of 'orders' is registered and in no code")
    assert "manage.py retire_handler audit --log 'orders'" in doctor()[1]


def test_a_dead_letter_a_stuck_and_a_halted_position_are_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers_part, "STUCK", 0.0)
    declare(shop)
    worker = shop.work()
    shop.place(1, 13)
    until(lambda: "D311" in problems())
    assert re.match(
        r"'ship' on 'orders' failed \d+ times? at one record, for \d+ s: RuntimeError: the carrier is away",
        problems()["D311"],
    )
    shop.stop(worker)
    tables.positions.rows().update(halted="epoch", halted_text="The log was restored.", stuck_since=None)
    assert problems()["D311"] == "'ship' on 'orders' is halted (epoch): The log was restored."


def test_dead_letters_are_counted_by_handler(shop: Shop) -> None:
    declare(shop, dead=True)
    shop.work()
    shop.place(13, 1, 13)
    until(lambda: tables.dead_letters.rows().count() == 2)
    assert problems()["D303"].startswith("2 dead letters of 'ship' on 'orders' wait for a person, the oldest for ")


def test_a_cause_that_many_keys_have_is_named_once(shop: Shop) -> None:
    @shop.shelf().on_event("count")
    def count(event: object, delivery: object) -> None: ...

    shop.stop(shop.work())
    handler = tables.handlers.rows().get(name="count")
    ago: Any = Now() - timedelta(hours=3)
    for number in range(8):
        row = tables.positions.new(
            handler=handler, key=f"shelf.{number}", position_hash=f"{number}", attempts=number
        )
        row.stuck_since, row.last_error = ago, "the carrier is on strike"
        tables.positions.add(row)
    assert re.fullmatch(
        r"'count' on ('shelf.\d', ){4}'shelf.\d' and 3 more failed up to 7 times at one record, for 3 h: the carrier is on strike",
        problems()["D311"],
    )
    tables.positions.rows().update(halted="epoch", halted_text="The log was restored.", stuck_since=None)
    (found,) = [one for one in examine(shop.pod) if one.id == "D311"]
    assert found.text.endswith(" and 3 more is halted (epoch): The log was restored.")
    assert found.hint == "manage.py resume_handler count WHERE --log 'shelf.{shelf}' --dry-run"


def test_an_outbox_that_is_stuck_and_records_set_aside_are_named(shop: Shop) -> None:
    shop.world.plane.fail("append", *[Fault.BEFORE] * 1000)  # nothing is relayed
    outbox.add("orders", 1, b"[]")
    assert "D304" not in problems()
    rows = OutboxRecord.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix)
    rows.update(created=Now() - timedelta(hours=3))
    assert problems()["D304"].startswith("1 record waits in the outbox, the oldest for 3 h")
    rows.update(status=outbox.ASIDE, error="it is too large")
    assert "The first, of 'orders': it is too large" in problems()["D304"]


def test_halted_keys_are_named_once_for_each_cause(shop: Shop) -> None:
    why = HaltReport("code", "migration (1, 2) is not registered", 7)
    for pod in ("one", "two"):
        halted_keys._change(pod, {}, {f"shelf.{shelf}": why for shelf in range(7)})
    text = problems()["D305"]
    five = ", ".join(f"'shelf.{shelf}'" for shelf in range(5))
    assert re.match(rf"{re.escape(five)} and 2 more: code, in up to 2 processes, for \d+ s\. migration", text)
    assert text.count("migration (1, 2)") == 1


def test_two_releases_and_a_process_that_is_deaf_are_named(shop: Shop) -> None:
    peers._renew(Peer("old", "web-7", 71, code=Code({"orders": "aaaa"}, {}), doorbell="isolated"), 60.0)
    peers._renew(Peer("new", "web-8", 72, code=Code({"orders": "bbbb"}, {}), doorbell="clustered"), 60.0)
    assert "D306" not in problems()  # a deploy is under way
    tables.peers.rows().filter(id="new").update(started_at=Now() - timedelta(hours=3))
    tables.peers.rows().filter(id="old").update(started_at=Now() - timedelta(days=9))
    found = problems()
    assert "Two releases run side by side for 3 h: they fold 'orders'" in found["D306"]
    assert "The older one: web-7, process 71." in found["D306"]
    assert "web-7, process 71 does not even hear its own doorbell" in found["D309"]


def test_snapshots_of_code_that_nobody_runs_are_named(shop: Shop) -> None:
    tables.snapshots.create(
        log_hash="0" * 32,
        fingerprint="feed",
        template="orders",
        key="orders",
        epoch="e",
        version=3,
        manifest="{}",
        saved_at=Now(),
    )
    assert "No process runs code feed of 'orders', version 3" in problems()["D312"]
    peers._renew(Peer("old", "web-7", 71, code=Code({"orders": "feed"}, {})), 60.0)
    assert "D312" not in problems()


def test_an_erasure_that_fails_again_and_again_is_named(shop: Shop) -> None:
    tables.erasures.create(home="user.7.", attempts=4, last_error="the server is full")
    assert "1 deleted user could not be erased, 4 times and more: the server is full" in problems()["D310"]


def test_a_clock_that_differs_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 45)
    assert "The clock of this machine is 45.0 s fast beside that of the database" in problems()["D102"]


def test_a_backplane_that_is_away_is_named(shop: Shop) -> None:
    shop.world.plane.down = True
    assert problems()["D200"] == "The backplane does not answer: examine: injected"


def test_what_is_silenced_is_left_out(shop: Shop, settings: Any) -> None:
    declare(shop)
    settings.SILENCED_SYSTEM_CHECKS = ["via_state.D103", "via_state.D301"]
    assert problems() == {}


def test_with_the_memory_backplane_there_is_nothing_to_look_at() -> None:
    with pytest.raises(CommandError, match="memory backplane"):
        call_command("state_doctor")


@pytest.mark.parametrize("state", ["down", "not migrated"])
def test_a_database_that_is_away_or_not_migrated_is_a_finding(
    postgres_environment: dict[str, str], state: str
) -> None:
    environment = {**os.environ, **postgres_environment, "VIA_PREFIX": "doctor"}
    environment |= {"DJANGO_SETTINGS_MODULE": "tests.cluster.settings"}
    if state == "down":
        environment["VIA_DATABASE_PORT"] = str(free_port())
    else:
        environment["VIA_DATABASE_NAME"] = django_settings.POSTGRES_NAME
    done = subprocess.run(
        [sys.executable, "-m", "django", "state_doctor", "--json", "--bad"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    found = [(one["id"], one["text"]) for one in json.loads(done.stdout) if one["id"] != "D103"]
    if state == "down":
        assert [id for id, _ in found] == ["D100", "D200"]
        assert "can't be reached" in found[0][1]
    else:
        assert [id for id, _ in found] == ["D104", "D104"]
        assert "migrations of via_state, from 0001_initial on" in found[0][1]
        assert "migrations of via_state_postgres, from 0001_initial on" in found[1][1]


def test_every_id_has_a_part_of_the_pages() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    headings = re.findall(r"^### (D\d+)$", page, re.MULTILINE)
    assert headings == list(IDS)
    assert anchor("D120") == "docs/troubleshooting.md#d120"
    code = "".join(path.read_text() for path in (ROOT / "via_state").rglob("*.py"))
    assert set(re.findall(r'"(D\d\d\d)"', code)) == set(IDS)
