"""What holds for every page of the admin: nobody edits, what others wrote is escaped, and an empty list is explained."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Model
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.admin.office import Office, change, changelist, move_url, resolve_url
from tests.conftest import POSTGRES_ALIAS
from via_state.bookkeeping.database.position_rows import hash_position
from via_state.models import (
    DeadLetter,
    EventHandler,
    HaltedKey,
    HandlerPosition,
    HandlerWorker,
    OwnerErasure,
    PeerRow,
    SnapshotRow,
)

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

MODELS = (DeadLetter, EventHandler, HaltedKey, HandlerPosition, HandlerWorker, OwnerErasure, PeerRow, SnapshotRow)
EVIL = "<script>alert('x')</script>"


def names(model: type[Model]) -> str:
    return str(model._meta.model_name)


def rows(office: Office, text: str) -> list[Any]:
    return rows_of(office.shop.world.prefix, POSTGRES_ALIAS, text)


def rows_of(prefix: str, alias: str, text: str) -> list[Any]:
    """A row of each model in which somebody wrote ``text`` wherever they could."""
    handler = EventHandler(prefix=prefix, template=text, name=text, start="first", ready=True, registered_at=Now())
    handler.save(using=alias)
    worker = HandlerWorker(
        id="w" * 32,
        prefix=prefix,
        worker_group="t",
        host=text,
        pid=1,
        started_at=Now(),
        lease_until=Now() + timedelta(hours=1),
    )
    worker.save(using=alias)
    position = HandlerPosition(
        handler=handler,
        position_hash=hash_position(handler.pk, text),
        key=text,
        epoch=text,
        attempts=3,
        stuck_since=Now(),
        last_error=text,
    )
    position.worker, position.halted_text, position.last_traceback = worker.pk, text, text
    letter = DeadLetter(
        prefix=prefix, template=text, handler=text, key=text, epoch=text, offset=1, record_id=text, event_name=text
    )
    letter.event_version, letter.payload, letter.error, letter.traceback = 1, f'"{text}"', text, f"{text}\n{text}"
    letter.attempts, letter.resolved_by, letter.added_at = 1, text, Now()
    halted = HaltedKey(prefix=prefix, key=text, pod="p", host=text, reason="fold", text=text, offset=1)
    halted.since, halted.lease_until = Now(), Now() + timedelta(hours=1)
    snapshot = SnapshotRow(
        log_hash="l" * 32, fingerprint="f", prefix=prefix, template=text, key=text, epoch=text, version=1
    )
    snapshot.manifest, snapshot.diverged, snapshot.data, snapshot.saved_at = text, text, b"", Now()
    peer = PeerRow(
        id="p", prefix=prefix, host=text, pid=1, roles=text, fingerprints={text: text}, events={text: {text: 1}}
    )
    peer.started_at, peer.lease_until = Now(), Now() + timedelta(hours=1)
    erasure = OwnerErasure(prefix=prefix, home=text, keys=[text], attempts=1, last_error=text)
    made: list[Any] = [position, letter, halted, peer, erasure, snapshot]
    for one in made:
        one.save(using=alias)
    return [handler, worker, *made]


def test_what_others_wrote_is_escaped(office: Office) -> None:
    made = rows(office, EVIL)
    position, letter = made[2], made[3]
    pages = [changelist(names(type(one))) for one in made] + [change(one) for one in made]
    pages += [f"{resolve_url('replay')}?item={letter.pk}", f"{resolve_url('discard')}?item={letter.pk}"]
    pages += [f"{move_url()}?item={position.pk}", f"{changelist('deadletter')}?handler={EVIL}&q={EVIL}"]
    for url in pages:
        page = office.get(url)
        assert "alert(" in page, url
        assert EVIL not in page, url
    office.resolve("discard", letter)
    office.client.post(move_url(), {"item": f"{position.pk}:1:{EVIL}"})
    told = office.get(changelist("deadletter"))
    assert "Discarded: &lt;script&gt;" in told
    assert EVIL not in told
    history = office.get(reverse("admin:via_state_deadletter_history", args=[letter.pk]))
    assert EVIL not in history
    assert "alert(" in history
    assert EVIL not in office.get("/admin/")


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_nobody_edits_by_hand(office: Office, model: type[Model]) -> None:
    row = next(one for one in rows(office, "x") if isinstance(one, model))
    name = names(model)
    assert office.client.get(reverse(f"admin:via_state_{name}_add")).status_code == 403
    assert office.client.post(change(row), {"key": "other"}).status_code == 403
    assert office.client.post(reverse(f"admin:via_state_{name}_delete", args=[row.pk])).status_code == 403
    assert 'name="_save"' not in office.get(change(row))
    assert "delete_selected" not in office.get(changelist(name))


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_looking_needs_the_permission_to_view(office: Office, model: type[Model]) -> None:
    row = next(one for one in rows(office, "x") if isinstance(one, model))
    office.sign_in(f"view_{names(model)}")
    office.get(changelist(names(model)))
    office.get(change(row))
    other = DeadLetter if model is not DeadLetter else SnapshotRow
    office.sign_in(f"view_{names(other)}")
    assert office.client.get(changelist(names(model))).status_code == 403
    assert office.client.get(change(row)).status_code == 403


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_the_rows_of_another_project_are_not_shown(office: Office, model: type[Model]) -> None:
    row = next(one for one in rows(office, "x") if isinstance(one, model))
    EventHandler.objects.using(POSTGRES_ALIAS).update(prefix="another")
    for other in (DeadLetter, HaltedKey, HandlerWorker, OwnerErasure, PeerRow, SnapshotRow):
        other._default_manager.using(POSTGRES_ALIAS).update(prefix="another")
    assert f"0 {model._meta.verbose_name_plural}" in office.get(changelist(names(model)))
    assert office.client.get(change(row)).status_code == 302


@pytest.mark.parametrize("model", MODELS, ids=names)
def test_with_the_memory_backplane_an_empty_list_says_why(model: type[Model]) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    page = client.get(changelist(names(model))).content.decode()
    assert "This project uses the memory backplane" in page


def test_the_rows_may_be_in_sqlite() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    made = rows_of("via", "default", "x")
    for row in made:
        for url in (changelist(names(type(row))), f"{changelist(names(type(row)))}?q=x", change(row)):
            answer = client.get(url)
            assert answer.status_code == 200, url
            assert "x" in answer.content.decode().partition("<tbody>")[2] or url == change(row), url
    for question in (
        "status__exact=new",
        "handler=x",
        "template=x",
        "event_name=x",
        "added_at__gte=2020-01-01T00:00Z",
    ):
        assert "1 dead letter" in client.get(f"{changelist('deadletter')}?{question}").content.decode()
    for state, found in (("stuck", 1), ("halted", 0), ("running", 1)):
        page = client.get(f"{changelist('handlerposition')}?state={state}").content.decode()
        assert f"{found} handler position" in page
    assert client.post(resolve_url("discard"), {"item": made[3].pk}).status_code == 302
    assert DeadLetter.objects.get().status == "discarded"


def test_with_a_durable_backplane_the_hint_is_gone(office: Office, settings: Any) -> None:
    settings.VIA_STATE = {
        **settings.VIA_STATE,
        "BACKEND": "via_state.backplanes.postgres.PostgresBackplane",
    }
    assert "memory backplane" not in office.get(changelist("deadletter"))


def test_a_snapshot_shows_its_size_without_loading_it(office: Office) -> None:
    snapshot = rows(office, "x")[-1]
    SnapshotRow.objects.using(POSTGRES_ALIAS).update(data=b"x" * 2048)
    with CaptureQueriesContext(connections[POSTGRES_ALIAS]) as queries:
        assert "2.0\xa0KB" in office.get(changelist("snapshotrow"))
        assert "2.0\xa0KB" in office.get(change(snapshot))
    read = [one["sql"] for one in queries.captured_queries if "via_state_snapshot" in one["sql"]]
    assert read
    assert not [sql for sql in read if '"data",' in sql or '"data" FROM' in sql]


WITHOUT = """
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "via_state"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
import sys
from django.core.management import call_command
call_command("check")
call_command("migrate", verbosity=0)
assert "via_state.admin" not in sys.modules
assert "django.contrib.admin" not in sys.modules
"""


def test_without_the_admin_everything_else_works() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
