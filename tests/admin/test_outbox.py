"""The outbox in the admin: who may do what to records that were set aside, and what that does."""

from __future__ import annotations

import pytest
from django.urls import reverse

from testproject.servers.waiting import wait_until
from tests.admin.office import Office, changelist, entries, items, said
from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Placed
from via_state.bookkeeping.database import outbox as rows
from via_state.models import OutboxRecord

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


def set_aside(office: Office, number: int) -> OutboxRecord:
    inner = office.shop.world.inner
    inner.max_append_bytes = 3
    rows.add("orders", 1, office.shop.orders().definition.spec().events.encode([Placed(number)]))
    office.shop.pod.drain()
    inner.max_append_bytes = 1_000_000
    return records(office)[-1]


def records(office: Office) -> list[OutboxRecord]:
    return list(OutboxRecord.objects.using(POSTGRES_ALIAS).filter(prefix=office.shop.world.prefix).order_by("pk"))


def act(office: Office, name: str, *chosen: OutboxRecord) -> list[str]:
    url = reverse("admin:via_state_outboxrecord_act", args=[name])
    answer = office.client.post(url, {"item": [one.pk for one in chosen]})
    assert answer.status_code == 302, answer.status_code
    return said(answer)


def test_a_replay_asks_first_and_puts_the_record_back(office: Office) -> None:
    record = set_aside(office, 7)
    page = office.get(changelist("outboxrecord"))
    assert "AppendTooLarge" in page
    page = office.get(reverse("admin:via_state_outboxrecord_change", args=[record.pk]))
    assert "&quot;number&quot;:7" in page
    assert "Replay" in page
    asked = office.act("outboxrecord", "replay_selected", record.pk).content.decode()
    assert items(asked) == [str(record.pk)]
    assert office.shop.log().read() == []
    assert act(office, "replay", record) == [f"Put back into the outbox: {record}."]
    wait_until(lambda: records(office) == [], "the relay")
    wait_until(lambda: office.shop.log().read() == [7], "the fold")
    assert entries() == [(str(record), "Put back into the outbox.")]


def test_what_is_discarded_is_kept_and_done_once(office: Office) -> None:
    record = set_aside(office, 7)
    assert act(office, "discard", record) == [f"Discarded: {record}."]
    assert act(office, "replay", record) == [f"Not replayed: {record} is not set aside any more."]
    (kept,) = records(office)
    assert (kept.status, kept.resolved_by) == ("discarded", "ann")
    assert entries() == [(str(record), "Discarded.")]


def test_each_act_has_a_permission_of_its_own(office: Office) -> None:
    record = set_aside(office, 7)
    office.sign_in("view_outboxrecord", "replay_outboxrecord")
    page = office.get(reverse("admin:via_state_outboxrecord_change", args=[record.pk]))
    assert "/act/replay/" in page
    assert "/act/discard/" not in page
    for name, status in (("replay", 200), ("discard", 403), ("other", 404)):
        url = reverse("admin:via_state_outboxrecord_act", args=[name])
        assert office.client.get(url, {"item": record.pk}).status_code == status
    office.sign_in("replay_outboxrecord")
    assert office.client.get(reverse("admin:via_state_outboxrecord_act", args=["replay"])).status_code == 403
