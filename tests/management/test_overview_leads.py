"""Where a search on the overview leads, and its line of time."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db.models.functions import Now

from tests.admin.office import Office
from tests.conftest import POSTGRES_ALIAS
from tests.management.test_overview import URL, text
from via_state.bookkeeping.database import halted_keys, peers, tables, workers
from via_state.bookkeeping.halted_keys import HaltReport
from via_state.bookkeeping.peers import Code, Peer
from via_state.operations import search as looks

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


def test_people_releases_and_lost_processes_are_in_one_line_of_time(office: Office) -> None:
    [letter] = office.letters(5)
    for pod, host, code in (
        ("a", "web-1", "old"),
        ("b", "web-2", "new"),
        ("c", "web-3", "new"),
        ("d", "job-1", "new"),
    ):
        peers._renew(Peer(pod, host, 7, (), Code({"orders": code}, {})), 60)
    workers.renew("w", "group", 60, "d")
    tables.workers.rows().filter(id="w").update(host="job-1", pid=7)
    now = tables.peers.rows().values_list(Now(), flat=True)[0]
    for pod, minutes in (("b", 9), ("c", 3), ("d", 8)):
        tables.peers.rows().filter(id=pod).update(started_at=now - timedelta(minutes=minutes))
    tables.peers.rows().filter(id="a").update(lease_until=now - timedelta(minutes=5))
    for rows in (tables.peers.rows().filter(id="d"), tables.workers.rows().filter(id="w")):
        rows.update(lease_until=now - timedelta(minutes=1))
    office.resolve("discard", letter)

    page = office.get(URL)

    new = Peer("b", "", 0, (), Code({"orders": "new"}, {})).code.release
    lines = [
        f"{letter}: ",
        "worker lost: job-1, process 7",
        "process lost: web-1, process 7",
        f"release {new} began; 2 of its processes are alive",
    ]
    places = [page.rindex(line) for line in lines]
    assert places == sorted(places), "the newest first"
    assert "process lost: job-1" not in page, "its worker and it are one"
    assert lines[2] in text()[1]
    assert lines[3] in [one["text"] for one in json.loads(text("--json")[1])["happenings"]]
    tables.workers.rows().filter(id="w").delete()
    for number in range(5):
        peers._renew(Peer(f"x{number}", f"lost-{number}", 7), 60)
    tables.peers.rows().filter(id__startswith="x").update(lease_until=now)
    assert "process lost: lost-0, process 7; lost-1, process 7; lost-2, process 7 and 2 more" in office.get(URL)


def test_a_search_leads_to_what_begins_so_and_what_is_exactly_so_comes_first(office: Office) -> None:
    [letter] = office.letters(5)
    office.stuck(3, 4)
    trace = "0af7651916cd43dd8448eb211c80319c"
    tables.dead_letters.rows().update(metadata=json.dumps({"tp": f"00-{trace}-b7ad6b7169203331-01"}))
    halted_keys._change(
        "one", {}, {"orders.x": HaltReport("code", "newer", 7), "orders": HaltReport("code", "newer", 7)}
    )
    peers._renew(Peer("pod7", "web-7", 70), 60)

    def leads(term: str) -> list[tuple[str, str]]:
        return re.findall(
            r'<tr><td>([^<]+)</td><th scope="row"><a href="([^"]+)">',
            office.get(f"{URL}?{urlencode({'q': term})}"),
        )

    place, of = (
        f"/admin/via_state/deadletter/{letter.pk}/change/",
        re.compile(r"/admin/via_state/handlerposition/\?of=\d+"),
    )
    for term in ("ship", "sh"):
        [(kind, url)] = leads(term)
        assert kind == "event handler"
        assert of.fullmatch(url)
    assert [kind for kind, _ in leads("orders")] == [
        "event handler",
        "handler position",
        "halted key",
        "halted key",
        "dead letter",
    ]
    assert "orders · code" in office.get(f"{URL}?q=orders").split("orders.x")[0]
    for term in (letter.record_id, letter.record_id[:8], trace, f"00-{trace}-b7ad6b7169203331-01"):
        assert ("dead letter", place) in leads(term), term
    assert leads("web-") == [("process", "/admin/via_state/peerrow/pod7/change/")]
    assert leads("shelf.7") == []
    page = office.get(f"{URL}?q=shelf.7")
    assert "is a key of &#x27;shelf.{shelf}&#x27;, with shelf = &#x27;7&#x27;" in page
    assert "Nothing begins so" in page
    assert "&lt;b&gt;" in office.get(f"{URL}?q=%3Cb%3E"), "what somebody typed is text"
    assert "All well" not in page
    assert "from “" not in office.get(f"{URL}?q=%00"), "that is the overview"
    for number in range(looks.EACH + 1):
        letter_like = {
            "handler": "ship",
            "key": f"room.{number}",
            "epoch": "e",
            "offset": number,
            "record_id": f"r{number}",
        }
        tables.dead_letters.create(
            **letter_like,
            template="room",
            event_name="E",
            event_version=1,
            payload="",
            error="",
            attempts=1,
            added_at=Now(),
        )
    assert leads("room.")[-1] == ("dead letter", "/admin/via_state/deadletter/?q=room.")
    office.sign_in("view_overview", "view_eventhandler")
    page = office.get(f"{URL}?q=orders")
    assert "1 lead from" in page
    assert (
        "Not looked at, as you may not view them: handler positions, halted keys, dead letters, snapshots, processes."
        in page
    )
    assert leads("ship")[0][1].startswith("/admin/via_state/eventhandler/"), "its positions may not be viewed"
