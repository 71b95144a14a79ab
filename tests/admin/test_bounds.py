"""However large what others wrote is, a page stays small; who may see an event can have all of it."""

from __future__ import annotations

import json

import pytest
from django.db.models import TextField, Value
from django.test import Client
from django.urls import reverse

from tests.admin.office import Office, change, changelist, items, move_url
from tests.admin.test_pages import rows
from tests.conftest import POSTGRES_ALIAS
from via_state.admin import blocked_records
from via_state.admin.events import Shown
from via_state.models import DeadLetter, HaltedKey, HandlerPosition, SnapshotRow

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

HUGE = '"&<\n' * 650_000  # 2.5 MB, of what HTML writes longest
PAGE = 300_000  # characters


def raw(text: str) -> Value:
    """Past the columns' own bounds, as another program might write it."""
    return Value(text, output_field=TextField())


def test_a_large_event_makes_no_large_page_and_can_be_had(office: Office) -> None:
    (letter,) = office.letters(1)
    payload = json.dumps({"number": HUGE})
    letters = DeadLetter.objects.using(POSTGRES_ALIAS).filter(pk=letter.pk)
    letters.update(payload=payload, error=raw(HUGE), traceback=raw(HUGE))
    page = office.get(change(letter))
    assert "more characters" in page
    assert len(page) < PAGE
    assert len(office.get(changelist("deadletter"))) < PAGE
    file = reverse("admin:via_state_deadletter_event", args=[letter.pk])
    assert f'href="{file}"' in page
    answer = office.client.get(file)
    assert (answer.content.decode(), answer["Content-Type"]) == (payload, "application/json")
    assert answer["Content-Disposition"] == f'attachment; filename="event-{letter.pk}.json"'


def test_the_event_is_for_those_who_may_view_it(office: Office) -> None:
    (letter,) = office.letters(1)
    file = reverse("admin:via_state_deadletter_event", args=[letter.pk])
    office.sign_in("view_handlerposition")
    assert office.client.get(file).status_code == 403
    assert Client().get(file).status_code == 302
    office.sign_in("view_deadletter")
    assert office.client.get(file).status_code == 200
    assert office.client.get(reverse("admin:via_state_deadletter_event", args=[letter.pk + 1])).status_code == 404


def test_large_texts_of_the_other_rows(office: Office) -> None:
    found = rows(office, "orders")
    HandlerPosition.objects.using(POSTGRES_ALIAS).update(
        last_error=raw(HUGE), last_traceback=raw(HUGE), halted_text=raw(HUGE)
    )
    HaltedKey.objects.using(POSTGRES_ALIAS).update(text=raw(HUGE))
    SnapshotRow.objects.using(POSTGRES_ALIAS).update(manifest=HUGE, diverged=raw(HUGE), data=HUGE.encode())
    for row in found:
        for url in (change(row), changelist(row._meta.model_name)):
            assert len(office.get(url)) < PAGE, url


def test_a_large_blocked_event_on_the_page_that_asks(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked_records, "shown_event", lambda event, codec: Shown("Placed", HUGE))
    row = office.stuck(1)
    page = office.get(f"{move_url()}?item={row.pk}")
    assert items(page)
    assert "more characters" in page
    assert len(page) < PAGE
