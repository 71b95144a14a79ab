"""Logs of sessions and of users: whose they are, and that they go with their owner, with all that is kept about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings

from tests.conftest import POSTGRES_ALIAS
from tests.handlers.world import Cancelled, Placed, Shop, shop_of, until
from tests.pod.world import EVERY, kind_of
from via_state import Delivery, Poison, State, StateSessEvents, StateUserEvents
from via_state.backplanes.nats import NatsBackplane
from via_state.bookkeeping.database import tables
from via_state.conf import settings
from via_state.declarations.registry import registry
from via_state.declarations.session_end import aend_session_state, end_session_state
from via_state.declarations.session_id import read_sid
from via_state.exceptions import NotBound, NotCaughtUp, SessionEnded, SessionRequired, UserRequired
from via_state.operations.state_move import StateMove
from via_state.pod import members
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.pod.reading.cell_copy import CellCopy
from via_state.pod.session_logs import EndedSessions, home_of

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)

STORED = pytest.mark.parametrize("shop", ["postgres", "nats"], indirect=True)

handled: list[tuple[int, dict[str, str]]] = []


class Desk(State):
    cart = StateSessEvents(Placed | Cancelled, key="desk.cart")
    form = StateSessEvents(Placed, key="desk.form.{form}")
    orders = StateUserEvents(Placed | Cancelled, key="desk.orders")
    shelf = StateUserEvents(Placed, key="desk.shelf.{shelf}", default=[0])


for log in (Desk.cart, Desk.form, Desk.orders, Desk.shelf):

    @log.on_event("ship")
    def ship(event: Placed | Cancelled, delivery: Delivery) -> None:
        if event.number < 0:
            raise Poison("a negative number")
        handled.append((event.number, dict(delivery.parameters)))


declared = list(registry.definitions())[-4:]


@pytest.fixture(params=EVERY)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    handled.clear()
    with shop_of(kind_of(request), OUTBOX_INTERVAL=0.1, SNAPSHOT_INTERVAL=1) as made, use_pod(made.pod):
        registry.add(Desk, declared)
        yield made


def new_session() -> SessionBase:
    session: SessionBase = import_module("django.contrib.sessions.backends.cache").SessionStore()
    session.create()
    return session


def sid_of(session: SessionBase) -> str:
    sid = read_sid(session)
    assert sid is not None
    return sid


def owned(pod: Pod) -> set[str]:
    """The logs of owners that hold records."""
    found: set[str] = set()
    after = ""
    while page := pod.thread.call(pod.backplane.logs(after)):
        found.update(page)
        after = list(page)[-1]
    return {key for key in found if key.startswith("via.")}


def kept(pod: Pod, owner: str) -> list[str]:
    """The tables that have rows about an owner's logs."""
    if not pod.backplane.durable:
        return []
    positions = tables.positions.rows().filter(handler__prefix=settings.PREFIX)
    found = {name: table.rows() for name, table in vars(tables).items() if name in ROWS} | {"positions": positions}
    return sorted(name for name, rows in found.items() if rows.filter(key__startswith=owner).exists())


ROWS = {"snapshots", "dead_letters", "outbox"}


def test_each_session_and_each_user_has_a_log_of_its_own(shop: Shop) -> None:
    one, other, ann, ben = new_session(), new_session(), User(pk=7), User(pk=8)
    assert Desk(one).cart.read() == []
    assert read_sid(one) is None, "reading creates nothing"
    offset = Desk(one).cart.append(Placed(1))
    assert Desk(one).cart.append_many([Placed(2), Cancelled(1)])[-1] > offset
    Desk(one).form.at(form="a.b").append(Placed(3))
    Desk(ann).orders.append(Placed(4))
    Desk(ann).shelf.at(shelf=1).append(Placed(5))
    assert Desk(one).cart.read(at_least=offset) == [2]
    assert [Desk(one).form.at(form=name).read() for name in ("a.b", "c")] == [[3], []]
    assert Desk(ann).orders.read() == [4]
    assert [Desk(ann).shelf.at(shelf=number).read() for number in (1, 2)] == [[0, 5], [0]]
    assert Desk(other).cart.read() == Desk(ben).orders.read() == Desk(AnonymousUser()).orders.read() == []
    assert Desk(one).cart.status().position.offset >= 3
    assert Desk(AnonymousUser()).orders.status().value == []
    peer = shop.world.start()
    assert Desk(one).cart.using(peer).read() == [2]
    assert Desk(ann).orders.using(peer).read() == [4]


async def test_their_verbs_have_async_twins(shop: Shop) -> None:
    session, ann = new_session(), User(pk=7)
    assert await Desk(session).cart.aread() == []
    offset = await Desk(session).cart.aappend(Placed(1))
    await Desk(session).cart.aappend_many([Placed(2)])
    await Desk(ann).shelf.at(shelf="x").aappend(Placed(3))
    assert await Desk(session).cart.aread(at_least=offset) == [1, 2]
    assert await Desk(ann).shelf.at(shelf="x").aread() == [0, 3]
    assert (await Desk(ann).orders.astatus()).value == []
    async with aclosing(Desk(session).cart.changes()) as values:
        assert await anext(values) == [1, 2]
        await Desk(session).cart.aappend(Placed(3))
        while await anext(values) != [1, 2, 3]:
            pass
    assert [value async for value in Desk(new_session()).cart.changes()] == [[]]
    await aend_session_state(sid_of(session))
    assert await Desk(session).cart.aread() == []
    with pytest.raises(SessionEnded):
        await Desk(session).cart.aappend(Placed(4))


def test_what_has_no_owner_is_refused(shop: Shop) -> None:
    with pytest.raises(NotBound, match=r"belongs to a session"):
        Desk.cart.append(Placed(1))
    with pytest.raises(NotBound, match=r"belongs to a user"):
        Desk.orders.read()
    with pytest.raises(UserRequired, match="anonymous"):
        Desk(AnonymousUser()).orders.append(Placed(1))
    with pytest.raises(SessionRequired, match="first write from an HTTP request"):
        Desk({"session": new_session()}).cart.append(Placed(1))
    offset = Desk(User(pk=7)).orders.append(Placed(1))
    with pytest.raises(NotCaughtUp, match="nobody is signed in"):
        Desk(AnonymousUser()).orders.read(at_least=offset)


def test_a_handler_is_told_whose_event_it_has(shop: Shop) -> None:
    session, ann = new_session(), User(pk=7)
    shop.work()
    Desk(session).form.at(form="a.b").append(Placed(1))
    Desk(ann).shelf.at(shelf=3).append(Placed(2))
    until(lambda: len(handled) == 2)
    assert sorted(handled, key=lambda one: one[0]) == [
        (1, {"session": sid_of(session), "form": "a.b"}),
        (2, {"user": "7", "shelf": "3"}),
    ]
    assert Desk.shelf.parse("via.user.7.desk.shelf.3") == {"user": "7", "shelf": "3"}
    assert Desk.orders.parse("via.account.site~2Emember.7.desk.orders") == {"model": "site.member", "user": "7"}
    assert Desk.shelf.definition.spec().name == "via.user.{user}.desk.shelf.{shelf}"


def test_the_end_of_a_session_takes_its_logs_and_all_that_is_kept_about_them(shop: Shop) -> None:
    session, other = new_session(), new_session()
    worker = shop.work()
    for one in (session, other):
        Desk(one).cart.append_many([Placed(1), Placed(-1)])
        Desk(one).form.at(form=1).append(Placed(2))
    until(lambda: len(handled) == 4)
    shop.settle(worker)
    for one in (session, other):
        assert Desk(one).cart.read() == [1, -1]
    shop.world.flush(shop.pod)
    home = f"via.sess.{sid_of(session)}"
    assert {home_of(key) for key in owned(shop.pod)} == {home, f"via.sess.{sid_of(other)}"}
    if shop.pod.backplane.durable:
        until(lambda: kept(shop.pod, home) == ["dead_letters", "positions", "snapshots"], "rows")
    end_session_state(sid_of(session))
    assert Desk(session).cart.read() == Desk(session).form.at(form=1).read() == []
    assert {home_of(key) for key in owned(shop.pod)} == {f"via.sess.{sid_of(other)}"}
    assert Desk(other).cart.read() == [1, -1]
    for append in (Desk(session).cart.append, Desk(session).form.at(form=1).append):
        with pytest.raises(SessionEnded):
            append(Placed(3))
    assert {home_of(key) for key in owned(shop.pod)} == {f"via.sess.{sid_of(other)}"}
    Desk(other).cart.append(Placed(4))
    until(lambda: handled[-1][0] == 4)
    shop.settle(worker)
    ended = EndedSessions(shop.pod, shop.pod.erasures.store)

    def nothing_is_kept() -> bool:
        shop.world.run(ended.sweep())  # a worker may have looked at the log once more
        return not kept(shop.pod, home)

    until(nothing_is_kept, "the last position of a worker")
    assert sorted(number for number, _ in handled) == [1, 1, 2, 2, 4]


def test_an_append_that_comes_too_late_is_refused_and_leaves_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that has not heard of the end."""
    session = new_session()
    peer = shop.world.start()
    Desk(session).cart.using(peer).append(Placed(1))
    monkeypatch.setattr(CellCopy, "ring", lambda cell: None)
    end_session_state(sid_of(session))
    with pytest.raises(SessionEnded):
        Desk(session).cart.using(peer).append(Placed(2))
    assert owned(shop.pod) == set()


@STORED
def test_what_waits_in_the_outbox_of_an_ended_session_is_not_appended(shop: Shop) -> None:
    session = new_session()
    with transaction.atomic(using=POSTGRES_ALIAS):
        Desk(session).cart.append_on_commit(Placed(1))
        end_session_state(sid_of(session))
    shop.pod.drain()
    assert owned(shop.pod) == set()
    assert kept(shop.pod, "via.sess.") == []


def test_an_append_on_commit_reaches_the_log_of_its_owner(shop: Shop) -> None:
    session, ann = new_session(), User(pk=7)
    with transaction.atomic(using=POSTGRES_ALIAS):
        Desk(session).cart.append_on_commit(Placed(1))
        Desk(ann).orders.append_on_commit(Placed(2))
        assert Desk(session).cart.read() == []
    shop.pod.drain()
    assert [Desk(session).cart.read(), Desk(ann).orders.read()] == [[1], [2]]


def test_what_a_process_that_died_left_of_an_ended_session_is_removed(shop: Shop) -> None:
    session, other = new_session(), new_session()
    worker = shop.work()
    for one in (session, other):
        Desk(one).cart.append(Placed(1))
    until(lambda: len(handled) == 2)
    shop.settle(worker)
    home = f"via.sess.{sid_of(session)}"
    shop.world.run(members.aclose(shop.pod, home, 60.0))  # and died
    ended = EndedSessions(shop.pod, shop.pod.erasures.store)

    def nothing_is_kept() -> bool:
        shop.world.run(ended.sweep())
        return not kept(shop.pod, home)

    until(nothing_is_kept, "the last position of a worker")
    assert {home_of(key) for key in owned(shop.pod)} == {f"via.sess.{sid_of(other)}"}


def test_the_logs_of_a_session_that_expired_are_removed_later_and_not_when_it_is_used_again(shop: Shop) -> None:
    session = new_session()
    Desk(session).cart.append(Placed(1))
    home = f"via.sess.{sid_of(session)}"
    shop.world.run(shop.pod.erasures.remove(home))  # the list is gone, as when it expires
    store = shop.pod.erasures.store
    shop.world.run(EndedSessions(shop.pod, store).sweep())
    assert owned(shop.pod) == {f"{home}.desk.cart"}, "it may have been restored after the logs"
    Desk(session).cart.append(Placed(2))
    shop.world.run(EndedSessions(shop.pod, store, gone=0).sweep())
    assert Desk(session).cart.read() == [1, 2]
    shop.world.run(shop.pod.erasures.remove(home))
    shop.world.run(EndedSessions(shop.pod, store, gone=0).sweep())
    assert owned(shop.pod) == set()
    Desk(session).cart.append(Placed(3))
    assert Desk(session).cart.read() == [3]


def test_a_log_that_got_a_record_meanwhile_is_not_removed(shop: Shop) -> None:
    ann = User(pk=7)
    Desk(ann).orders.append(Placed(1))
    (key,) = owned(shop.pod)
    seen = shop.head(key).position
    Desk(ann).orders.append(Placed(2))
    assert not shop.world.run(shop.pod.erasures.remove_log(key, seen))
    assert Desk(ann).orders.read()[-1] == 2


@STORED
def test_the_logs_of_a_deleted_user_go_and_a_new_user_begins_fresh(shop: Shop) -> None:
    ann, ben = (User.objects.using(POSTGRES_ALIAS).create(pk=pk, username=f"user{pk}") for pk in (7, 70))
    worker = shop.work()
    for one in (ann, ben):
        Desk(one).orders.append_many([Placed(1), Placed(-1)])
        Desk(one).shelf.at(shelf=1).append(Placed(2))
    until(lambda: len(handled) == 4)
    shop.settle(worker)
    User.objects.using(POSTGRES_ALIAS).filter(pk=7).delete()
    shop.pod.drain()
    assert {key.split(".")[2] for key in owned(shop.pod)} == {"70"}
    assert kept(shop.pod, "via.user.7.") in ([], ["positions"]), "a worker may look at the log once more"
    assert [Desk(ann).orders.read(), Desk(ann).shelf.at(shelf=1).read()] == [[], [0]]
    Desk(User(pk=7)).orders.append(Placed(5))
    until(lambda: handled[-1] == (5, {"user": "7"}), "the first event of the new user")
    assert Desk(ben).orders.read() == [1, -1]


@STORED
def test_forget_owner_removes_logs(shop: Shop, capsys: Any) -> None:
    session, ann = new_session(), User(pk=7)
    Desk(session).cart.append(Placed(1))
    Desk(session).form.at(form=1).append(Placed(2))
    Desk(ann).orders.append(Placed(3))
    session.save()
    call_command("forget_owner", user="7")
    assert "1 key removed: desk.orders" in capsys.readouterr().out
    assert Desk(ann).orders.read() == []
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache"):
        call_command("forget_owner", session=session.session_key, dry_run=True)
    assert "3 keys would be removed" in capsys.readouterr().out
    assert len(owned(shop.pod)) == 2


@pytest.mark.parametrize("shop", ["postgres"], indirect=True)
def test_logs_of_owners_move_to_another_backplane(shop: Shop, nats: object) -> None:
    session, ann = new_session(), User(pk=7)
    worker = shop.work()
    Desk(session).cart.append_many([Placed(1), Placed(2)])
    Desk(ann).orders.append(Placed(3))
    until(lambda: len(handled) == 3)
    shop.settle(worker)
    shop.stop(worker)
    source = shop.world.inner
    target = NatsBackplane(
        {
            "SERVERS": f"nats://{django_settings.NATS_TOKEN}@127.0.0.1:{django_settings.NATS_PORT}",
            "DATABASE": POSTGRES_ALIAS,
            "PREFIX": settings.PREFIX,
        }
    )
    pod = Pod(target)
    moving = StateMove(pod, source)
    moving.cells()
    assert len(list(moving.logs())) == 2
    assert [Desk(session).cart.using(pod).read(), Desk(ann).orders.using(pod).read()] == [[1, 2], [3]]
    shop.world.run(EndedSessions(pod, pod.erasures.store, gone=0).sweep())
    Desk(session).cart.using(pod).append(Placed(4))
    assert Desk(session).cart.using(pod).read() == [1, 2, 4]
    with use_pod(pod):
        end_session_state(sid_of(session))
    assert owned(pod) == {"via.user.7.desk.orders"}
    pod.close()
