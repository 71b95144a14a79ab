"""State of users goes with them, after the commit of their deletion and whatever happens then; and ``manage.py forget_owner``."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import CommandError, call_command
from django.db import DataError, InterfaceError, OperationalError, connections, transaction
from django.db import Error as DatabaseFailure
from django.test import override_settings

from testproject.servers.waiting import wait_until
from tests.conftest import POSTGRES_ALIAS
from tests.faults import Fault
from tests.pod.world import World, world_of
from via_state import State, StateApp, StateSess, StateUser
from via_state.core.cells import Holds, holds_of
from via_state.declarations import session_end
from via_state.declarations.registry import registry
from via_state.exceptions import SessionEnded
from via_state.metrics import process
from via_state.models import OwnerErasure
from via_state.pod import members
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod

pytestmark = pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)


class Desk(State):
    theme = StateUser(str, default="auto", key="owner.theme")
    draft = StateUser(str, key="owner.draft.{form}")
    cart = StateSess(list[str], key="owner.cart")
    page = StateSess(str, key="owner.page.{number}")
    banner = StateApp(str, key="owner.banner")


declared = list(registry.definitions())[-5:]


@pytest.fixture(params=["memory", "postgres", "nats"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    for server in {"memory": [], "postgres": ["postgres"], "nats": ["postgres", "nats"]}[request.param]:
        request.getfixturevalue(server)
    with world_of(request.param, OUTBOX_INTERVAL=0.1, UPDATE_TIMEOUT=2.0) as made:
        yield made


durable = pytest.mark.parametrize("world", ["postgres", "nats"], indirect=True)


@pytest.fixture
def pod(world: World) -> Iterator[Pod]:
    with registry.isolated(), use_pod(world.start()) as pod:
        registry.add(Desk, declared)
        yield pod


def user(pk: int = 7, using: str = POSTGRES_ALIAS) -> User:
    return User.objects.using(using).create(pk=pk, username=f"user{pk}-{using}")


def write(owner: User) -> None:
    Desk(owner).theme.set("dark")
    Desk(owner).draft.at(form=1).set("one")
    Desk(owner).draft.at(form="a.b").set("two")


def values(owner: User) -> list[str]:
    return [Desk(owner).theme.read(), Desk(owner).draft.at(form=1).read(), Desk(owner).draft.at(form="a.b").read()]


def stored(pod: Pod) -> set[str]:
    found: set[str] = set()
    after = ""
    while page := pod.thread.call(pod.backplane.cells(after)):
        found.update(key for key, cell in page.items() if holds_of(cell.data) is Holds.VALUE)
        after = list(page)[-1]
    return {key for key in found if key.startswith("via.")}


def erasures() -> int:
    return OwnerErasure.objects.using(POSTGRES_ALIAS).count()


@pytest.mark.parametrize("using", [POSTGRES_ALIAS, "default"], ids=["our database", "another database"])
def test_a_deleted_users_state_is_erased_and_a_new_user_begins_fresh(pod: Pod, world: World, using: str) -> None:
    ann, ben = user(7, using), user(8, using)
    for one in (ann, ben):
        write(one)
    User.objects.using(using).filter(pk=7).delete()
    pod.drain()
    assert values(ben) == ["dark", "one", "two"]
    assert values(user(7, using)) == ["auto", "", ""]
    assert not [key for key in stored(pod) if key.startswith("via.user.7")]
    assert erasures() == 0


def test_nothing_is_erased_before_the_commit_nor_after_a_rollback(pod: Pod) -> None:
    ann = user()
    write(ann)
    with pytest.raises(RuntimeError), transaction.atomic(using=POSTGRES_ALIAS):
        User.objects.using(POSTGRES_ALIAS).get(pk=7).delete()
        raise RuntimeError
    pod.drain()
    assert values(ann) == ["dark", "one", "two"]
    with transaction.atomic(using=POSTGRES_ALIAS):
        User.objects.using(POSTGRES_ALIAS).get(pk=7).delete()
        assert values(ann) == ["dark", "one", "two"]
    pod.drain()
    assert values(ann) == ["auto", "", ""]


def test_members_beyond_those_that_are_listed_are_found(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is written again for each member, so it is bounded."""
    monkeypatch.setattr(members, "MOST", 3)
    ann = user()
    session = SessionStore()
    for number in range(6):
        Desk(ann).draft.at(form=number).set("x")
        Desk(session).page.at(number=number).set("x")
    listed = pod.get("via.user.7", members.spec_of(None))
    assert (len(listed.members), listed.more) == (3, True)
    User.objects.using(POSTGRES_ALIAS).filter(pk=7).delete()
    pod.drain()
    assert not [key for key in stored(pod) if key.startswith("via.user.7")]
    session_end.end_session_state(session["_via_sid"])
    for number in range(7):
        with pytest.raises(SessionEnded):
            Desk(session).page.at(number=number).set("late")


def test_a_project_may_keep_it(pod: Pod, world: World) -> None:
    ann = user()
    write(ann)
    from django.conf import settings

    with override_settings():
        settings.VIA_STATE["ERASE_ON_DELETE"] = False  # in place: a new setting would close the pod
        ann.delete()
        del settings.VIA_STATE["ERASE_ON_DELETE"]
    pod.drain()
    assert values(user()) == ["dark", "one", "two"]


@durable
def test_an_erasure_that_the_backplane_does_not_take_is_tried_again(pod: Pod, world: World) -> None:
    ann = user()
    write(ann)
    failed = process.erasures_failed._value.get()
    world.plane.down = True
    ann.delete()
    wait_until(lambda: process.erasures_failed._value.get() > failed, "a try that failed")
    (row,) = OwnerErasure.objects.using(POSTGRES_ALIAS)
    assert row.home == "via.user.7"
    wait_until(lambda: OwnerErasure.objects.using(POSTGRES_ALIAS).exclude(last_error="").exists(), "its error")
    world.plane.down = False
    pod.drain()
    assert erasures() == 0
    assert values(user()) == ["auto", "", ""]


@durable
def test_what_a_killed_process_was_asked_to_erase_another_one_erases(pod: Pod, world: World) -> None:
    ann = user()
    write(ann)
    OwnerErasure.objects.using(POSTGRES_ALIAS).create(prefix=world.prefix, home="via.user.7", keys=["owner.theme"])
    other = world.start()
    other.drain()
    assert erasures() == 0
    assert [Desk(ann).theme.using(other).read(), Desk(ann).draft.at(form=1).using(other).read()] == ["auto", ""]


@durable
def test_an_erasure_that_can_not_be_noted_prevents_no_deletion(pod: Pod, world: World) -> None:
    ann = user()
    write(ann)
    table = OwnerErasure._meta.db_table
    with connections[POSTGRES_ALIAS].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            User.objects.using(POSTGRES_ALIAS).get(pk=7).delete()
        finally:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    assert not User.objects.using(POSTGRES_ALIAS).exists()
    assert values(user()) == ["auto", "", ""]


@durable
@pytest.mark.parametrize("kind", [InterfaceError, OperationalError, DataError])
def test_no_error_of_the_database_in_noting_an_erasure_prevents_the_deletion(
    pod: Pod, world: World, kind: type[DatabaseFailure]
) -> None:
    """An InterfaceError, as of a connection that is closed already, is no DatabaseError for Django."""
    ann = user()
    write(ann)

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if OwnerErasure._meta.db_table in sql and sql.startswith("INSERT"):
            raise kind("the connection is closed")
        return execute(sql, *rest)

    with connections[POSTGRES_ALIAS].execute_wrapper(fail):
        User.objects.using(POSTGRES_ALIAS).get(pk=7).delete()
    assert not User.objects.using(POSTGRES_ALIAS).exists()
    assert values(user()) == ["auto", "", ""]


@durable
def test_state_status_shows_what_waits_to_be_erased(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod.erasures, "erase", None)  # every try fails
    write(user())
    User.objects.using(POSTGRES_ALIAS).get(pk=7).delete()
    wait_until(lambda: OwnerErasure.objects.using(POSTGRES_ALIAS).exclude(last_error="").exists(), "its error")
    out = io.StringIO()
    call_command("state_status", stdout=out)
    assert "State waits to be erased, of 1 deleted user, since" in out.getvalue()
    assert "TypeError" in out.getvalue()


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("forget_owner", "--json", *arguments, stdout=out, stderr=io.StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@durable
def test_forget_owner_removes_all_of_a_user_and_says_what(pod: Pod) -> None:
    ann, ben = user(7), user(70)
    for one in (ann, ben):
        write(one)
    pod.thread.call(pod.backplane.cas("via.user.7.gone.from.the.code", None, b"what nobody can read"))
    names = ["owner.draft.1", "owner.draft.a~2Eb", "owner.theme", "gone.from.the.code"]
    would = run("--user", "7", "--dry-run")
    assert sorted(would["removed"]) == sorted([*names, "(the list of its members)"])
    assert values(ann) == ["dark", "one", "two"]
    done = run("--user", "7")
    assert sorted(done["removed"]) == sorted(would["removed"])
    assert done["failed"] == []
    assert set(done["not_erased"]) == {"logs", "snapshots", "dead_letters", "outbox"}
    assert values(ann) == ["auto", "", ""]
    assert values(ben) == ["dark", "one", "two"]
    assert run("--user", "7")["removed"] == []


@durable
def test_forget_owner_removes_the_state_of_a_session(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    session = SessionStore()
    Desk(session).cart.set(["apple"])
    Desk(session).page.at(number=1).set("x")
    session.save()
    key = str(session.session_key)
    assert len(run("--session", key)["removed"]) == 3
    assert Desk(SessionStore(key)).cart.read() == []
    assert Desk(SessionStore(key)).page.at(number=1).read() == ""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
    call_command("forget_owner", "--session", "-", stdout=out)
    assert "0 keys removed." in out.getvalue()
    assert "Not erased" in out.getvalue()


@durable
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "seven"], "not a primary key"),
        (["--user", "7", "--model", "shop.Nobody"], "no model"),
        (["--user", "7", "--model", "nonsense"], "no model"),
        (["--session", "unknown"], "no such session"),
    ],
)
def test_forget_owner_says_what_it_can_not_do(pod: Pod, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as refused:
        run(*arguments)
    assert refused.value.returncode == 2


@durable
def test_forget_owner_exits_with_1_when_something_stays(pod: Pod, world: World) -> None:
    write(user())
    world.plane.fail("cas", *[Fault.BEFORE] * 20)
    with pytest.raises(SystemExit) as left:
        run("--user", "7")
    assert left.value.code == 1


@durable
def test_an_error_of_the_sessions_names_their_database(pod: Pod) -> None:
    """It said the one of VIA_STATE, where an operator would look in vain."""

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if "django_session" in sql:
            raise OperationalError("no answer")
        return execute(sql, *rest)

    with (
        connections["default"].execute_wrapper(fail),
        pytest.raises(
            CommandError, match=r"^The session can't be looked up in the database 'default': no answer$"
        ),
    ):
        call_command("forget_owner", "--session", "anything")
