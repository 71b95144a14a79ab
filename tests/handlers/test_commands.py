"""What an operator does to event handlers from the command line."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models.functions import Now

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, until
from via_state import Delivery, Poison
from via_state.models import DeadLetter, EventHandler, HandlerPosition
from via_state.operations.dead_letters import discard
from via_state.operations.positions import move_to_dead_letters, next_record
from via_state.pod.default import use_pod


@pytest.fixture
def site(durable_shop: Shop) -> object:
    """The shop is the process's own."""
    with use_pod(durable_shop.pod):
        yield durable_shop


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=out)
    return out.getvalue()


def letters(shop: Shop) -> list[DeadLetter]:
    return list(DeadLetter.objects.using(POSTGRES_ALIAS).filter(prefix=shop.world.prefix).order_by("pk"))


def position(shop: Shop) -> HandlerPosition:
    return HandlerPosition.objects.using(POSTGRES_ALIAS).get(handler__prefix=shop.world.prefix)


class Flaky:
    """A handler that gives up on what is in ``bad``."""

    def __init__(self, shop: Shop) -> None:
        self.bad: set[int] = set()
        self.got: list[int] = []

        @shop.orders().on_event("ship")
        def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
            if event.number in self.bad:
                raise Poison(f"{event.number} is bad")
            self.got.append(event.number)


def given_up(site: Shop) -> Flaky:
    """Two of four records are dead letters."""
    flaky = Flaky(site)
    flaky.bad = {2, 3}
    worker = site.work()
    site.place(1, 2, 3, 4)
    until(lambda: flaky.got == [1, 4])
    site.stop(worker)
    return flaky


def test_dead_letters_are_replayed_once(site: Shop) -> None:
    flaky = given_up(site)
    listed = run("replay_dead_letters", "--dry-run")
    assert "orders at 2" in listed
    assert "2 dead letters would be replayed" in listed
    assert flaky.got == [1, 4]
    flaky.bad = {3}
    with pytest.raises(SystemExit):
        run("replay_dead_letters", "--handler", "ship")
    assert flaky.got == [1, 4, 2]
    assert [(one.status, one.attempts) for one in letters(site)] == [("replayed", 2), ("new", 2)]
    flaky.bad = set()
    assert "1 of 1 dead letter replayed" in run("replay_dead_letters", "--key", "orders", "--newer-than", "1h")
    assert "0 of 0" in run("replay_dead_letters")
    assert flaky.got == [1, 4, 2, 3]
    assert all(one.resolved_by.startswith("manage.py") for one in letters(site))


def test_a_failing_replay_has_its_new_error(site: Shop) -> None:
    flaky = given_up(site)
    first = letters(site)[0]
    assert first.error == "via_state.exceptions.Poison: 2 is bad"
    flaky.bad = {2, 3, 99}
    with pytest.raises(SystemExit):
        run("replay_dead_letters", "--id", str(first.pk))
    assert [one.attempts for one in letters(site)] == [2, 1]


def test_a_discarded_letter_is_not_replayed(site: Shop) -> None:
    flaky = given_up(site)
    flaky.bad = set()
    first, second = letters(site)
    assert discard(first, "ann")
    assert not discard(first, "bob")
    run("replay_dead_letters")
    assert flaky.got == [1, 4, 3]
    assert (letters(site)[0].status, letters(site)[0].resolved_by) == ("discarded", "ann")
    assert second.status == "new"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay_dead_letters", "--handler", "shp"], "Did you mean ship"),
        (["replay_dead_letters", "--id", "999999"], "no dead letter 999999"),
        (["replay_dead_letters", "--older-than", "soon"], "Invalid age"),
        (["prune_dead_letters", "--older-than", "99999999d"], "Invalid age"),
        (["prune_dead_letters", "--older-than", "1d", "--key", "ordrs"], "Did you mean orders"),
        (["prune_dead_letters", "--older-than", "1d", "--handler", "shp"], "Did you mean ship"),
        (["retire_handler", "shp"], "Did you mean ship"),
        (["retire_handler", "ship"], "This code declares 'ship'"),
        (["resume_handler", "ship", "middle"], "Invalid place"),
        (["resume_handler", "ship", "5"], "give --key"),
        (["resume_handler", "ship", "99", "--key", "orders"], "no record at offset 99"),
        (["resume_handler", "ship", "head"], "Nothing was changed"),
        (["run_projectors", "--handler", "shp"], "Did you mean ship"),
        (["run_projectors", "--key", "order"], "Did you mean orders"),
        (["run_projectors", "--concurrency", "0"], "from 1"),
        (["run_projectors", "--metrics-port", "99999"], "to 65535"),
        (
            ["run_projectors", "--metrics-port", "0", "--metrics-host", "nowhere.invalid"],
            "--metrics-host nowhere.invalid",
        ),
        (["run_projectors", "--metrics-port", "0", "--metrics-host", "a" * 70], "Nothing can be served"),
        (["replay_dead_letters", "--key", "ordrs"], r"There is no log 'ordrs'\. Did you mean orders"),
        (["replay_outbox", "--key", "ordrs"], r"There is no log 'ordrs'\. Did you mean orders"),
        (["resume_handler", "ship", "head", "--key", "ordrs"], "Did you mean orders"),
        (["retire_handler", "ship", "--log", "ordrs"], "Did you mean orders"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_named(site: Shop, arguments: list[str], said: str) -> None:
    given_up(site)
    with pytest.raises(CommandError, match=said):
        run(*arguments)


def test_a_handler_that_the_code_lost_can_be_retired(site: Shop) -> None:
    flaky = given_up(site)
    site.orders().definition.handlers.clear()
    assert "nothing in this code declares it" in run("retire_handler")
    assert "with 1 position" in run("retire_handler", "ship", "--dry-run")
    assert "is retired" in run("retire_handler", "ship")
    assert not EventHandler.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix).exists()
    assert flaky.got == [1, 4]


def test_a_halted_handler_continues_where_it_is_told(site: Shop) -> None:
    flaky = given_up(site)
    site.world.run(site.world.inner.drop("orders"))
    site.place(5, 6, 7)
    site.work()
    until(lambda: position(site).halted == "history")
    assert "would resume" in run("resume_handler", "ship", "1", "--key", "orders", "--dry-run")
    assert "after offset 1" in run("resume_handler", "ship", "1", "--key", "orders")
    until(lambda: flaky.got == [1, 4, 6, 7])


def test_a_blocked_record_can_be_set_aside(site: Shop) -> None:
    got: list[int] = []

    @site.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number == 1:
            raise RuntimeError("no")
        got.append(event.number)

    site.work()
    site.place(1, 2)
    until(lambda: HandlerPosition.objects.using(POSTGRES_ALIAS).filter(attempts__gt=1).exists())
    row = position(site)
    (spec,) = site.orders().definition.handlers.values()
    record = site.world.run(next_record(site.world.plane, row, spec, site.spec()))
    assert move_to_dead_letters(row, record, site.spec(), "ann")
    until(lambda: got == [2])
    (letter,) = letters(site)
    assert (letter.offset, letter.error) == (1, "RuntimeError: no")
    assert not move_to_dead_letters(row, record, site.spec(), "ann")


def test_state_status_shows_how_far_handlers_are_and_exits_with_1_when_one_stands_still(site: Shop) -> None:
    flaky = Flaky(site)
    site.place(1, 2)
    site.settle(worker := site.work())
    assert "event handler" not in run("state_status")
    site.stop(worker)
    site.place(3)
    assert "event handler ship: 1 event after its position, nobody runs it" in run("state_status")
    (orders,) = json.loads(run("state_status", "--json"))
    assert (orders["handlers"][0]["offset"], orders["handlers"][0]["lag"]) == (2, 1)
    site.world.run(site.world.inner.drop("orders"))
    site.place(4)
    site.work()
    until(lambda: position(site).halted == "history")
    with pytest.raises(SystemExit):
        run("state_status", "--halted")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("state_status", stdout=out)
    assert "HALTED (history: the log was restored" in out.getvalue()
    assert flaky.got == [1, 2]
    EventHandler.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix).update(name="gone")
    with pytest.raises(SystemExit):
        call_command("state_status", stdout=out)
    assert "event handler gone: nothing in this code declares it" in out.getvalue()


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
def test_a_worker_inside_another_process_leaves_its_pod_and_its_signals_alone(site: Shop, thread: bool) -> None:
    got: list[int] = []

    @site.orders().on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    site.place(1)
    before, services = signal.getsignal(signal.SIGTERM), site.pod.services.services
    for number in (2, 3):
        if thread:
            with ThreadPoolExecutor(1) as pool:
                said = pool.submit(run, "run_projectors", "--until-caught-up").result()
        else:
            said = run("run_projectors", "--until-caught-up")
        assert "has ended" in said
        site.log().append(Placed(number))
        assert site.log().read()[-1] == number
    assert got == [1, 2]
    assert site.pod.services.services == services, "what the command added has left"
    assert signal.getsignal(signal.SIGTERM) is before


def test_old_dead_letters_are_removed_when_somebody_resolved_them(site: Shop) -> None:
    given_up(site)
    first, second = letters(site)
    discard(first, "ann")
    assert run("prune_dead_letters", "--older-than", "1h").startswith("0 dead letters removed.")
    DeadLetter.objects.using(POSTGRES_ALIAS).filter(pk=first.pk).update(added_at=Now() - timedelta(days=2))
    assert "1 dead letter would be removed." in run("prune_dead_letters", "--older-than", "1d", "--dry-run")
    assert run("prune_dead_letters", "--older-than", "0s", "--status", "replayed").startswith("0 dead letters")
    assert run("prune_dead_letters", "--older-than", "0s", "--key", "shelf.{shelf}").startswith("0 dead letters")
    found = json.loads(run("prune_dead_letters", "--older-than", "0s", "--handler", "ship", "--json"))
    assert found == {"removed": 1, "dry_run": False}
    assert [one.pk for one in letters(site)] == [second.pk], "one that waits for a person stays"
    assert "1 dead letter removed." in run("prune_dead_letters", "--older-than", "0s", "--status", "new")
    assert letters(site) == []


def test_dead_letters_are_discarded_by_command_and_kept(site: Shop) -> None:
    given_up(site)
    assert "2 dead letters would be discarded." in run(
        "prune_dead_letters", "--older-than", "0s", "--discard", "--dry-run"
    )
    assert [one.status for one in letters(site)] == ["new", "new"]
    assert "2 dead letters discarded." in run("prune_dead_letters", "--older-than", "0s", "--discard")
    assert [one.status for one in letters(site)] == ["discarded", "discarded"]
    assert all(one.resolved_by.startswith("manage.py") for one in letters(site))


def test_many_dead_letters_are_pruned_in_portions(site: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("via_state.operations.dead_letters.PORTION", 1)
    given_up(site)
    assert "2 dead letters removed." in run("prune_dead_letters", "--older-than", "0s", "--status", "new")


def renamed(site: Shop) -> list[int]:
    """The code now calls the handler ``send``."""
    got: list[int] = []
    site.orders().definition.handlers.clear()

    @site.orders().on_event("send")
    def send(event: Placed | Cancelled, delivery: Delivery) -> None:
        got.append(event.number)

    return got


def test_a_renamed_handler_continues_where_it_was(site: Shop) -> None:
    given_up(site)  # two dead letters
    got = renamed(site)
    (warning,) = [one for one in run_checks(databases=[POSTGRES_ALIAS]) if one.id == "via_state.W008"]
    assert "'ship'" in warning.msg
    assert "rename_handler ship send --log 'orders'" in str(warning.hint)
    assert "would be renamed to send, with 1 position and 2 dead letters" in run(
        "rename_handler", "ship", "send", "--dry-run"
    )
    assert "is renamed to send, with 1 position and 2 dead letters" in run("rename_handler", "ship", "send")
    assert not [one for one in run_checks(databases=[POSTGRES_ALIAS]) if one.id == "via_state.W008"]
    site.place(7)
    site.work()
    until(lambda: got == [7])
    assert "2 of 2 dead letters replayed" in run("replay_dead_letters", "--handler", "send")
    assert sorted(got) == [2, 3, 7]


def test_what_can_not_be_renamed_is_left_as_it_is(site: Shop) -> None:
    given_up(site)
    with pytest.raises(CommandError, match="This code declares 'ship' on 'orders'"):
        run("rename_handler", "ship", "send")
    got = renamed(site)
    with pytest.raises(CommandError, match=r"declares no event handler 'sent' on 'orders'. Did you mean send"):
        run("rename_handler", "ship", "sent")
    site.work()
    until(lambda: len(got) == 4)  # it was forgotten, and began with the first event
    with pytest.raises(CommandError, match=r"runs 'send'|has handled events of 'orders' already"):
        run("rename_handler", "ship", "send")
    rows = EventHandler.objects.using(POSTGRES_ALIAS).filter(prefix=site.world.prefix)
    assert set(rows.values_list("name", flat=True)) == {"ship", "send"}


def test_dead_letters_that_wait_are_shown_by_state_status(site: Shop) -> None:
    given_up(site)
    assert "event handler ship: 2 dead letters; see manage.py replay_dead_letters" in run("state_status")
