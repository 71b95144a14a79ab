"""What a node shows: the same by every way of rendering it, of one moment, for the visitor and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils.safestring import mark_safe

from tests.live.pieces import Said, declaring, templates, visitor
from via_state import State, StateApp, StateAppEvents, StateSess, StateUser, live
from via_state.backplanes.memory import MemoryBackplane
from via_state.declarations.session_id import SESSION_KEY
from via_state.exceptions import (
    DeclarationError,
    FragmentUnknown,
    NotFollowed,
    NotInLiveBlock,
    SharedFragmentIsPersonal,
    SyncVerbInEventLoop,
)
from via_state.live.protocol.content import Content, Gone
from via_state.live.protocol.node import NodeSpec
from via_state.live.protocol.vector import ABSENT
from via_state.live.rendering import renderer
from via_state.live.rendering.fragments import fragments
from via_state.live.rendering.renderer import apermitted, arender, code_of, group_of, locate, permitted, render
from via_state.live.visitors.visitor import Visitor
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod
from via_state.testing import memory_pod

ANN = UUID("12345678-1234-5678-1234-567812345678")
SID = "sid-of-this-session"


@pytest.fixture(autouse=True)
def pod() -> Iterator[Pod]:
    with declaring(), memory_pod() as pod:
        yield pod


def text(name: str, arguments: dict[str, Any] | None = None, audience: Any = "all", **more: Any) -> NodeSpec:
    return NodeSpec.of("text", f"tests.{name}", arguments or {}, audience, **more)


def both(spec: NodeSpec, who: Visitor | None = None) -> Content:
    """The content; every way of rendering gives the same."""
    who = who or visitor()
    found = render(spec, who)
    awaited = async_to_sync(arender)(spec, who)
    assert (awaited[:2], awaited.halted) == (found[:2], found.halted)
    assert {name: one.key for name, one in locate(spec, found.at, who).items()} == {
        name: one.key for name, one in found.watched.items()
    }
    return found


def html(name: str, arguments: dict[str, Any] | None = None, who: Visitor | None = None) -> str | None:
    return both(fragments.get(f"{name}.html").spec(arguments or {}), who).body


# Texts --------------------------------------------------------------------------------------------------------


def test_a_text_shows_the_state_and_where_it_is() -> None:
    class Chat(State):
        lines = StateAppEvents(Said, key="lines.{room}")
        banner = StateApp(str, default="hello")

    spec = text("Chat.lines", {"room": 7}, filter="length", prefix="(", suffix=")")
    assert both(spec)[:1] == ("(0)",)
    at = Chat.lines.at(room=7).append(Said("one"))

    found = both(spec)
    assert found.body == "(1)"
    assert found.at["lines.7"].offset == at == 1
    assert list(found.watched) == ["lines.7"]
    assert not found.halted

    assert both(text("Chat.banner")).at == {"banner": ABSENT}
    Chat.banner.set("welcome")
    assert both(text("Chat.banner")).body == "welcome"
    assert both(text("Chat.banner")).at["banner"].epoch == ""


@pytest.mark.parametrize(
    ("language", "zone", "value", "filter", "shown"),
    [
        ("de", "UTC", Decimal("1234.5"), "", "1.234,5"),
        ("en", "UTC", 12345, "intcomma", "12,345"),
        ("de", "UTC", 12345, "humanize.intcomma", "12.345"),
        ("en", "UTC", 3.14159, "floatformat:2", "3.14"),
        ("en", "UTC", "a & b", "upper", "A & B"),
        ("en", "UTC", True, "yesno:'on,off'", "on"),
        ("de", "UTC", date(2026, 5, 1), "", "1. Mai 2026"),
        ("en", "UTC", mark_safe("<b>"), "", "<b>"),
        ("en", "UTC", "\ud800", "", "\ufffd"),
    ],
)
def test_a_text_is_of_its_visitors_language(language: str, zone: str, value: Any, filter: str, shown: str) -> None:
    class Shop(State):
        value = StateApp(object, default=lambda: None)

    with templates(), override_settings(USE_THOUSAND_SEPARATOR=True):
        definition = Shop.value.definition
        spec = text("Shop.value", filter=filter)
        from via_state.live.rendering.texts import Text
        from via_state.live.visitors.locales import localized

        who = visitor(language=language, timezone=zone)
        with localized(who.ticket):
            body = Text(spec, definition, "value", None).body(value)
    assert body == shown
    assert type(body) is str


def test_an_attribute_is_absent_without_a_value() -> None:
    class Job(State):
        done = StateApp[int | bool | None](default=None)

    to = {"@to": "value"}
    found = []
    for value in (None, False, True, 40, 0):
        Job.done.set(value)
        found.append(both(text("Job.done", to)).body)
    assert found == [None, None, "", "40", "0"]
    Job.done.set(None)
    assert both(text("Job.done")).body == ""


@pytest.mark.django_db
def test_state_of_a_visitor_has_a_name_that_does_not_say_whose_it_is() -> None:
    class Inbox(State):
        unread = StateUser(int, key="inbox.unread")
        draft = StateSess(str, key="draft.{form}")

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    Inbox(ann).unread.set(3)

    spec = text("Inbox.unread", audience="user")
    found = both(spec, visitor(ann))
    assert found.body == "3"
    assert list(found.at) == ["~user.inbox.unread"]
    assert both(spec, visitor(ben)).body == "0"
    assert both(spec, visitor()) == Content("0", {}, {})

    draft = text("Inbox.draft", {"form": 1}, "session")
    assert both(draft, visitor(sid=SID)).at == {"~session.draft.1": ABSENT}
    assert both(draft, visitor()).watched == {}


def test_a_text_of_what_is_not_declared_any_more_is_gone() -> None:
    class Chat(State):
        count = StateApp(int)
        room = StateApp(int, key="room.{room}")
        mine = StateUser(int)

    gone = [
        text("Chat.count2"),
        text("Chat.count", {"room": 1}),
        text("Chat.room"),
        text("Chat.room", {"room": 1, "other": 2}),
        text("Chat.mine"),  # it was of everybody when this was signed
        NodeSpec.of("block", "nothing.html", {}),
    ]
    for spec in gone:
        for attempt in (lambda: render(spec, visitor()), lambda: locate(spec, (), visitor())):  # noqa: B023
            with pytest.raises(Gone, match="missing"):
                attempt()
        with pytest.raises(Gone, match="missing"):
            async_to_sync(arender)(spec, visitor())


@pytest.mark.parametrize(
    "name",
    [
        "count.1",
        "via.user.7.mine",
        "via.sess.x.y",
        "~user.count",
        "~user.mine",
        "~session",
        "~@user.7.count",
        "~@",
        "",
        "~",
    ],
)
def test_t6_no_name_leads_to_state_of_somebody_else(name: str) -> None:
    class Chat(State):
        count = StateApp(int)
        mine = StateUser(int)

    with pytest.raises(Gone, match="missing"):
        locate(text("Chat.count"), [name], visitor())


def test_a_pod_that_was_chosen_is_the_one_that_is_read() -> None:
    class Chat(State):
        count = StateApp(int)

    other = Pod(MemoryBackplane({}))
    try:
        with using_pod(other):
            Chat.count.set(5)
            assert both(text("Chat.count")).body == "5"

            @live.fragment("count.html", shared=True)
            def count() -> dict[str, Any]:
                return {"count": Chat.count.read()}

            with templates(count="{{ count }}"):
                assert html("count") == "5"
    finally:
        other.close()
    assert both(text("Chat.count")).body == "0"


# Blocks -------------------------------------------------------------------------------------------------------


def test_a_block_shows_what_its_function_gives_and_names_what_it_read() -> None:
    class Chat(State):
        room = StateAppEvents(Said, key="room.{room}")

    @live.fragment("room.html", shared=True)
    def room(room: int) -> dict[str, Any]:
        return {"lines": Chat.room.at(room=room).read(), "again": Chat.room.at(room=room).read()}

    Chat.room.at(room=7).append(Said("<b>"))
    with templates(room="{% for line in lines %}<p>{{ line }}</p>{% endfor %}"):
        spec = fragments.get("room.html").spec({"room": "7"})
        found = both(spec)
    assert found.body == "<p>&lt;b&gt;</p>"
    assert found.at["room.7"].offset == 1
    assert group_of(spec, visitor(language="de")) == (spec.id, "", "de", "UTC")


@pytest.mark.django_db(transaction=True)
def test_a_visitors_block_is_theirs() -> None:
    class Inbox(State):
        unread = StateUser(int)
        draft = StateSess(str)

    @live.fragment("inbox.html")
    def inbox(visitor: live.Visitor) -> dict[str, Any]:
        mine = Inbox(visitor)
        return {"unread": mine.unread.read(), "draft": mine.draft.read()}

    ann = User.objects.create_user("ann")
    ben = User.objects.create_user("ben")
    Inbox(ann).unread.set(2)
    source = "{{ user.username }} {{ request.user.pk }} {{ perms.auth }} {{ messages }} {{ unread }} {{ draft }}{% csrf_token %}"
    with templates(inbox=source):
        spec = fragments.get("inbox.html").spec({})
        found = render(spec, visitor(ann, sid=SID))
        assert found.body is not None
        assert found.body.startswith(f"ann {ann.pk} ")
        assert '<input type="hidden" name="csrfmiddlewaretoken" value="via-csrf">' in found.body
        assert set(found.at) == {"~user.unread", "~session.draft"}
        located = locate(spec, found.at, visitor(ann, sid=SID))
        assert {name: one.key for name, one in located.items()} == {
            name: one.key for name, one in found.watched.items()
        }
        assert "ann" not in str(render(spec, visitor(ben)).body)
        assert str(render(spec, visitor()).body).startswith(" None ")
    assert (
        len({group_of(spec, one) for one in (visitor(ann), visitor(ben), visitor(), visitor(ann, sid=SID))}) == 4
    )
    assert group_of(spec, visitor()) == group_of(spec, visitor())


@pytest.mark.django_db(transaction=True)
def test_an_async_function_runs_on_the_loop_and_its_template_on_a_thread() -> None:
    class Chat(State):
        count = StateApp(int)

    ran: list[threading.Thread] = []

    class Noting:
        def __str__(self) -> str:
            ran.append(threading.current_thread())
            return "!"

    @live.fragment("count.html")
    async def count(visitor: live.Visitor, start: int = 1) -> dict[str, Any]:
        ran.append(threading.current_thread())
        user = await visitor.auser()
        return {"count": start + await Chat.count.aread(), "noting": Noting(), "name": user.username}

    async def on_a_loop() -> Content:
        return await arender(spec, visitor(ann))

    ann = User.objects.create_user("ann")
    Chat.count.set(4)
    with templates(count="{{ name }} {{ count }}{{ noting }}"):
        spec = fragments.get("count.html").spec({"start": 2})
        found = asyncio.run(on_a_loop())
        assert (found.body, list(found.at)) == ("ann 6!", ["count"])
        assert ran[0] is threading.current_thread()
        assert ran[1].daemon
        assert ran[1].name.startswith("via-state-render")
        assert render(spec, visitor(ann)).body == "ann 6!"


async def test_a_page_in_an_event_loop_says_what_to_write_where_it_has_to_wait() -> None:
    class Chat(State):
        count = StateApp(int)

    @live.fragment("count.html")
    async def count(visitor: live.Visitor) -> dict[str, Any]:
        return {"count": await Chat.count.aread()}

    @live.fragment("plain.html", shared=True)
    def plain() -> dict[str, Any]:
        return {"count": Chat.count.read()}

    await Chat.count.aset(3)
    with templates(count="{{ count }}", plain="{{ count }}"):
        assert render(fragments.get("plain.html").spec({}), visitor()).body == "3"
        spec = fragments.get("count.html").spec({})
        with pytest.raises(SyncVerbInEventLoop, match=r"await sync_to_async\(render\)"):
            render(spec, visitor())
        assert (await sync_to_async(render)(spec, visitor())).body == "3"


def test_what_a_function_says_of_its_visitor_ends_the_node() -> None:
    errors: dict[str, Exception] = {
        "denied": PermissionDenied(),
        "missing": Http404(),
        "lost": User.DoesNotExist(),
    }

    @live.fragment("room.html")
    def room(visitor: live.Visitor, why: str) -> dict[str, Any]:
        raise errors[why]

    with templates(room=""):
        for why in errors:
            spec = fragments.get("room.html").spec({"why": why})
            for attempt in (lambda: render(spec, visitor()), lambda: async_to_sync(arender)(spec, visitor())):  # noqa: B023
                with pytest.raises(Gone) as caught:
                    attempt()  # type: ignore[no-untyped-call]
                assert caught.value.why == ("denied" if why == "denied" else "missing")


def test_f5_another_error_reaches_the_caller_and_nobody_else() -> None:
    @live.fragment("room.html", shared=True)
    def room() -> dict[str, Any]:
        raise RuntimeError("a path, or SQL")

    with templates(room=""):
        spec = fragments.get("room.html").spec({})
        with pytest.raises(RuntimeError):
            render(spec, visitor())
        with pytest.raises(RuntimeError):
            async_to_sync(arender)(spec, visitor())


@pytest.mark.django_db(transaction=True)
def test_t5_who_may_see_it_is_asked_at_every_render() -> None:
    def staff(user: Any, **arguments: Any) -> bool:
        return bool(user.is_staff)

    async def astaff(user: Any, **arguments: Any) -> bool:
        return bool(user.is_staff)

    @live.fragment("orders.html", shared=True, allow=staff)
    def orders() -> dict[str, Any]:
        return {}

    @live.fragment("mine.html", allow=astaff)
    def mine(visitor: live.Visitor) -> dict[str, Any]:
        return {"name": visitor.user.username}

    ann = User.objects.create_user("ann", is_staff=True)
    with templates(orders="all", mine="{{ name }}"):
        who = visitor(ann)
        specs = [fragments.get("orders.html").spec({}), fragments.get("mine.html").spec({})]
        assert [permitted(spec, who) for spec in specs] == [True, True]
        assert [async_to_sync(apermitted)(spec, who) for spec in specs] == [True, True]
        assert render(specs[1], who).body == "ann"

        User.objects.update(is_staff=False)
        assert [permitted(spec, who) for spec in specs] == [False, False]
        assert [async_to_sync(apermitted)(spec, who) for spec in specs] == [False, False]
        with pytest.raises(Gone, match="denied"):
            render(specs[1], who)
        with pytest.raises(Gone, match="denied"):
            async_to_sync(arender)(specs[1], who)
        assert permitted(text("Any.thing"), who)


@pytest.mark.django_db
def test_t3_a_user_counts_until_they_are_signed_out() -> None:
    ann = User.objects.create_user("ann", password="one")
    who = visitor(ann)
    assert who.user == ann

    User.objects.update(is_active=False)
    assert not who.again().user.is_authenticated
    User.objects.update(is_active=True)
    assert who.again().user == ann

    ann.set_password("two")
    ann.save()
    assert not who.again().user.is_authenticated
    ann.delete()
    assert not who.again().user.is_authenticated


@pytest.mark.django_db
def test_a_visitor_costs_one_query_and_none_where_nobody_asks(django_assert_num_queries: Any) -> None:
    class Inbox(State):
        unread = StateUser(int)

    who = visitor(User.objects.create_user("ann"), sid=SID)
    spec = text("Inbox.unread", audience="user")
    with django_assert_num_queries(0):
        found = render(spec, who)
        locate(spec, found.at, who)
        group_of(spec, who)
    with django_assert_num_queries(1):
        assert who.user.username == who.user.username == "ann"


@pytest.mark.parametrize(
    ("use", "hint"),
    [
        (lambda one: one.session, "StateSess"),
        (lambda one: one.COOKIES, "outside"),
        (lambda one: one.headers, "outside"),
        (lambda one: one.path, "by_page"),
        (lambda one: one.GET, "by_page"),
        (lambda one: one.get_full_path(), "by_page"),
    ],
)
def test_a_visitor_has_nothing_that_a_page_can_not_follow(use: Any, hint: str) -> None:
    with pytest.raises(NotInLiveBlock, match=hint):
        use(visitor())


def test_a_template_that_asks_for_the_session_fails_loudly() -> None:
    @live.fragment("room.html")
    def room(visitor: live.Visitor) -> dict[str, Any]:
        return {}

    with templates(room="{{ request.session.name }}"), pytest.raises(NotInLiveBlock, match="StateSess"):
        render(fragments.get("room.html").spec({}), visitor())


def test_with_by_page_a_block_knows_its_page() -> None:
    @live.fragment("nav.html", by_page=True)
    def nav(visitor: live.Visitor) -> dict[str, Any]:
        return {"q": visitor.GET.get("q"), "path": visitor.path}

    with templates(nav="{{ path }} {{ q }} {{ request.get_full_path }}"):
        fragment = fragments.get("nav.html")
        one, other = fragment.spec({}, page="/a/?q=1"), fragment.spec({}, page="/b/")
        assert both(one).body == "/a/ 1 /a/?q=1"
        assert both(other).body == "/b/ None /b/"
    assert one.id != other.id


# Security -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["request.path", "user", "user.pk", "perms.auth", "messages", "csrf_token"])
@pytest.mark.parametrize(
    "source", ["{{{{ {0} }}}}", "{{% if {0} == 1 %}}{{% endif %}}", "{{% include 'part.html' %}}"]
)
def test_f2_a_shared_render_that_is_personal_fails_loudly(name: str, source: str) -> None:
    @live.fragment("table.html", shared=True)
    def table() -> dict[str, Any]:
        return {}

    with templates(table=source.format(name), part=f"{{{{ {name} }}}}"):
        for attempt in (render, cast(Any, async_to_sync(arender))):
            with pytest.raises(SharedFragmentIsPersonal, match=repr(name.partition(".")[0])):
                attempt(fragments.get("table.html").spec({}), visitor())


def test_f2_a_shared_render_has_no_csrf_token() -> None:
    @live.fragment("table.html", shared=True)
    def table() -> dict[str, Any]:
        return {}

    with templates(table="{% csrf_token %}"), pytest.raises(SharedFragmentIsPersonal, match="csrf_token"):
        render(fragments.get("table.html").spec({}), visitor())


@pytest.mark.django_db(transaction=True)
def test_f2_a_shared_render_that_reads_state_of_somebody_fails_loudly() -> None:
    class Inbox(State):
        unread = StateUser(int)

    @live.fragment("table.html", shared=True)
    def table() -> dict[str, Any]:
        return {"unread": Inbox(ann).unread.read()}

    ann = User.objects.create_user("ann")
    with templates(table=""), pytest.raises(SharedFragmentIsPersonal, match="unread"):
        render(fragments.get("table.html").spec({}), visitor(ann))


@pytest.mark.django_db(transaction=True)
def test_f2_renders_of_two_visitors_at_once_never_mix() -> None:
    class Inbox(State):
        name = StateUser(str)

    @live.fragment("me.html")
    def me(visitor: live.Visitor) -> dict[str, Any]:
        return {"name": Inbox(visitor).name.read()}

    users = [User.objects.create_user(f"user{number}") for number in range(4)]
    for user in users:
        Inbox(user).name.set(user.username)

    async def all_at_once() -> list[str | None]:
        wanted = [arender(spec, visitor(user)) for _ in range(20) for user in users]
        return [found.body for found in await asyncio.gather(*wanted)]

    with templates(
        me="{{ user.username }} {% get_current_language as l %}{{ name }}".replace(
            "{% get", "{% load i18n %}{% get"
        )
    ):
        spec = fragments.get("me.html").spec({})
        found = asyncio.run(all_at_once())
    assert found == [f"{user.username} {user.username}" for _ in range(20) for user in users]


@pytest.mark.django_db(transaction=True)
def test_state_of_another_user_is_followed_where_its_name_tells_no_more_than_a_number() -> None:
    class Profile(State):
        name = StateUser(str, key="profile.name")
        note = StateSess(str)

    @live.fragment("who.html")
    def who(visitor: live.Visitor, user: int) -> dict[str, Any]:
        return {"name": Profile(User.objects.get(pk=user)).name.read()}

    @live.fragment("note.html")
    def note(visitor: live.Visitor) -> dict[str, Any]:
        from via_state.declarations.owners import KnownOwner

        bound = Profile(visitor)
        bound._owner = KnownOwner("x" * 22, visitor.user)
        return {"name": bound.note.read()}

    ann, ben = User.objects.create_user("ann"), User.objects.create_user("ben")
    Profile(ben).name.set("Ben")
    with templates(who="{{ name }}", note=""):
        spec = fragments.get("who.html").spec({"user": ben.pk})
        found = render(spec, visitor(ann))
        assert found.body == "Ben"
        assert list(found.at) == [f"~@user.{ben.pk}.profile.name"]
        assert locate(spec, found.at, visitor(ann))[next(iter(found.at))].key == f"via.user.{ben.pk}.profile.name"
        with pytest.raises(NotFollowed, match="another session"):
            render(fragments.get("note.html").spec({}), visitor(ann))


def test_f3_what_one_block_reads_is_bounded() -> None:
    class Chat(State):
        room = StateApp(int, key="room.{room}")

    @live.fragment("rooms.html", shared=True)
    def rooms(count: int) -> dict[str, Any]:
        return {"sum": sum(Chat.room.at(room=number).read() for number in range(count))}

    with templates(rooms="{{ sum }}"):
        assert len(both(fragments.get("rooms.html").spec({"count": 64})).at) == 64
        with pytest.raises(NotFollowed, match="64 keys"):
            render(fragments.get("rooms.html").spec({"count": 65}), visitor())


def test_f3_a_render_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()

    @live.fragment("slow.html", shared=True)
    def slow() -> dict[str, Any]:
        goes_on.wait(30)
        return {}

    @live.fragment("never.html", shared=True)
    async def never() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {}

    monkeypatch.setattr(renderer, "MOST_SECONDS", 0.05)
    with templates(slow="", never=""):
        for name in ("slow", "never"):
            with pytest.raises(TimeoutError, match=name):
                async_to_sync(arender)(fragments.get(f"{name}.html").spec({}), visitor())
    goes_on.set()


def test_f3_a_render_leaves_language_and_time_zone_as_they_were() -> None:
    from django.utils import timezone, translation

    class Chat(State):
        count = StateApp(int)

    @live.fragment("de.html", shared=True)
    def de() -> dict[str, Any]:
        return {"found": (translation.get_language(), timezone.get_current_timezone_name())}

    who = visitor(language="de", timezone="Europe/Berlin")
    with templates(de="{{ found.0 }} {{ found.1 }}"):
        assert html("de", {}, who) == "de Europe/Berlin"
    assert (translation.get_language(), timezone.get_current_timezone_name()) == ("en-us", "UTC")


@pytest.mark.parametrize("minutes", [None, 0, 330, -90])
def test_a_time_zone_has_a_name_that_brings_it_back(minutes: int | None) -> None:
    from django.utils import timezone

    from via_state.live.visitors.locales import name_of_zone, zone_of

    zone = ZoneInfo("Asia/Kolkata") if minutes is None else timezone.get_fixed_timezone(minutes)
    assert zone_of(name_of_zone(zone)) == zone
    for unknown in ("", "No/Where", "../etc/passwd", "+x"):
        assert zone_of(unknown) == timezone.get_default_timezone()


def test_f4_a_template_that_does_not_escape_is_refused() -> None:
    from django.core.exceptions import ImproperlyConfigured

    @live.fragment("raw.html", shared=True)
    def raw() -> dict[str, Any]:
        return {}

    backend = "django.template.backends.django.DjangoTemplates"
    loaders = [("django.template.loaders.locmem.Loader", {"raw.html": "x"})]
    engine = {"BACKEND": backend, "OPTIONS": {"autoescape": False, "loaders": loaders}}
    with override_settings(TEMPLATES=[engine]), pytest.raises(ImproperlyConfigured, match="autoescape"):
        render(fragments.get("raw.html").spec({}), visitor())


# Fragments ----------------------------------------------------------------------------------------------------


def test_f1_arguments_have_their_types_and_are_signed_as_scalars() -> None:
    seen: list[Any] = []

    @live.fragment("all.html", shared=True)
    def everything(number: int, word: str, yes: bool, id: UUID, day: date, more: int = 3) -> dict[str, Any]:
        seen[:] = [number, word, yes, id, day, more]
        return {}

    fragment = fragments.get("all.html")
    given = {"number": "7", "word": mark_safe("a"), "yes": True, "id": str(ANN), "day": "2026-05-01"}
    spec = fragment.spec(given)
    assert dict(spec.arguments) == {**given, "number": 7}
    assert all(type(value) in (int, str, bool) for _, value in spec.arguments)
    assert fragment.spec({**given, "id": ANN, "day": date(2026, 5, 1), "number": 7}) == spec
    with templates(all=""):
        render(spec, visitor())
    assert seen == [7, "a", True, ANN, date(2026, 5, 1), 3]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "'number' is missing"),
        ({"number": 1, "more": 2}, "no argument 'more'"),
        ({"number": True}, "no int"),
        ({"number": "x"}, "no int"),
        ({"number": 2**63}, "no int"),
        ({"number": None}, "NoneType"),
        ({"number": 1, "word": 7}, "no str"),
        ({"number": 1, "word": "\ud800"}, "no str"),
        ({"number": 1, "word": "x" * 1100}, "1024 bytes"),
    ],
)
def test_f1_what_is_no_argument_is_refused(given: dict[str, Any], match: str) -> None:
    @live.fragment("one.html", shared=True)
    def one(number: int, word: str = "") -> dict[str, Any]:
        return {}

    with pytest.raises(DeclarationError, match=match):
        fragments.get("one.html").spec(given)


@pytest.mark.parametrize(
    "arguments", [{}, {"number": "x"}, {"number": 1, "other": 2}, {"number": 1, "@page": "/"}, {"number": None}]
)
def test_f1_a_page_that_older_code_made_is_told_that_the_node_is_gone(arguments: dict[str, Any]) -> None:
    @live.fragment("one.html", shared=True)
    def one(number: int) -> dict[str, Any]:
        return {}

    spec = NodeSpec.of("block", "one.html", arguments)
    for attempt in (render, lambda spec, who: locate(spec, (), who)):
        with pytest.raises(Gone, match="missing"):
            attempt(spec, visitor())
    with pytest.raises(Gone, match="missing"):  # it was of each visitor when this was signed, or of everybody
        render(NodeSpec.of("block", "one.html", {"number": 1}, "visitor"), visitor())
    with pytest.raises(FragmentUnknown, match="one"):
        fragments.get("ome.html")


def test_code_is_of_the_function_and_of_all_templates() -> None:
    def declare(body: int) -> NodeSpec:
        with fragments.isolated():
            pass
        fragments._known.clear()
        if body == 1:

            @live.fragment("page.html", shared=True)
            def one() -> dict[str, Any]:
                return {"x": 1}
        else:

            @live.fragment("page.html", shared=True)
            def other() -> dict[str, Any]:
                return {"x": 2}

        return fragments.get("page.html").spec({})

    found = []
    for function, page, part, base in [
        (1, "a", "p", "b"),
        (1, "a", "p", "b"),
        (2, "a", "p", "b"),
        (1, "c", "p", "b"),
        (1, "a", "q", "b"),
        (1, "a", "p", "d"),
    ]:
        source = f"{{% extends 'base.html' %}}{{% block x %}}{page}{{% include 'part.html' %}}{{% endblock %}}"
        with templates(page=source, part=part, base=f"{base}{{% block x %}}{{% endblock %}}"):
            found.append(code_of(declare(function)))
    assert found[0] == found[1]
    assert len(set(found)) == 5
    assert all(len(code) == 12 for code in found)
    assert code_of(text("Any.thing")) == ""


@pytest.mark.django_db
def test_a_visitor_is_what_a_request_says() -> None:
    from django.test import Client

    client = Client()
    ann = User.objects.create_user("ann")
    client.force_login(ann)
    session = client.session
    session[SESSION_KEY] = SID
    session.save()
    made = client.get("/admin/").wsgi_request
    with CaptureQueriesContext(__import__("django").db.connection) as queries:
        who = Visitor.of_request(made)
        assert who is Visitor.of_request(made)
        assert who.user == ann
    assert len(queries) == 0
    assert who.ticket.user == str(ann.pk)
    assert (who.ticket.sid, who.host, who.language) == (SID, "testserver", "en-us")
    later = Visitor.of_ticket(who.ticket, host="testserver", secure=False)
    assert later.user == ann
    assert later.build_absolute_uri("/x/") == "http://testserver/x/"
