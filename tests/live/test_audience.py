"""Who is meant: decided where the tab is, by what says nothing about anybody."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.models import User as Account
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.cache import SessionStore
from django.http import HttpRequest
from django.test import override_settings

from tests.live.hubs import Tab
from via_state.exceptions import DeclarationError, FragmentUnknown, SessionRequired, UserRequired
from via_state.live.announcing.audience import ALL, Group, Page, Session, To, User, Viewing
from via_state.live.protocol.node import Audience, NodeSpec
from via_state.live.rendering.fragments import fragment, fragments
from via_state.live.visitors.tokens import Ticket, digest
from via_state.live.visitors.visitor import Visitor

KEY = "k" * 32


def session(key: str | None) -> SessionBase:
    return SessionStore(key)


def request(key: str) -> HttpRequest:
    made = HttpRequest()
    made.session = session(key)
    return made


def tab(*nodes: str, **ticket: object) -> Tab:
    return Tab(Ticket(**ticket), nodes)  # type: ignore[arg-type]


def stock(product: int, audience: Audience) -> str:
    return NodeSpec.of("block", "shop/_stock.html", {"product": product}, audience).id


@pytest.fixture(autouse=True)
def shop() -> Iterator[None]:
    """Fragments."""
    with fragments.isolated():

        @fragment("shop/_stock.html")
        def stock(visitor: Visitor, product: int) -> dict[str, Any]:
            return {}

        @fragment("shop/_all.html", shared=True)
        def everything() -> dict[str, Any]:
            return {}

        @fragment("shop/_page.html", by_page=True)
        def page(visitor: Visitor) -> dict[str, Any]:
            return {}

        yield


MATCHING: list[tuple[Callable[[], To], Tab, Tab]] = [
    (lambda: Page("/orders/"), tab(path="/orders/?page=2"), tab(path="/orders/1/?a=/orders/")),
    (lambda: Session(session(KEY)), tab(session=digest(KEY)), tab(session=digest("x" * 32))),
    (lambda: Session(request(KEY)), tab(session=digest(KEY)), tab(session="")),
    (lambda: User(Account(pk=7)), tab(user="7"), tab(user="77")),
    (lambda: User(7), tab(user="7"), tab(user="")),
    (lambda: User(uuid.UUID(int=7)), tab(user=str(uuid.UUID(int=7))), tab(user="7")),
    (lambda: Group("staff"), tab(groups=("sales", "staff")), tab(groups=("sales",))),
    (lambda: Viewing("shop/_stock.html", product="7"), tab("x", stock(7, "visitor")), tab(stock(8, "visitor"))),
    (lambda: Viewing("shop/_all.html"), tab(NodeSpec.of("block", "shop/_all.html", {}).id), tab("x")),
]


@pytest.mark.parametrize(("to", "meant", "other"), MATCHING)
def test_a_tab_is_meant_or_not(to: Callable[[], To], meant: Tab, other: Tab) -> None:
    made = to()
    assert made.matches(meant)
    assert not made.matches(other)
    assert not made.matches(tab())
    assert ALL.matches(other)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=To) == made


def test_what_names_one_kind_names_no_other_one() -> None:
    everything = tab(path="/7", session="/7", user="/7", groups=("/7",))
    for to in (Page("/7"), User("/7"), Group("/7")):
        assert to.matches(everything)
        others = [kind for kind in ("page", "session", "user", "group") if kind != to.kind]
        assert not any(To(kind, to.digests).matches(everything) for kind in others)  # type: ignore[arg-type]


def test_nothing_personal_is_in_it_and_nobody_guesses_it() -> None:
    with override_settings(SECRET_KEY="one"):
        made = [Page("/secret/"), User("ada@example.org"), Group("patients"), Session(session(KEY))]
    wire = msgspec.msgpack.encode(made)
    for clear in (b"secret", b"ada", b"patients", KEY.encode(), digest(KEY).encode()):
        assert clear not in wire
    with override_settings(SECRET_KEY="another"):
        assert User("ada@example.org").digests != made[1].digests


def test_processes_agree_while_the_secret_key_is_changed() -> None:
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
        before = User(7)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert before.matches(tab(user="7"))
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[]):
        assert not before.matches(tab(user="7"))


def test_a_visitor_who_is_nobody_is_refused_with_what_to_do() -> None:
    with pytest.raises(UserRequired, match=r"Session\(request\)"):
        User(AnonymousUser())
    with pytest.raises(UserRequired):
        User(Account())
    with pytest.raises(SessionRequired):
        Session(session(None))
    with pytest.raises(TypeError, match="request or a session"):
        Session("abc")
    with pytest.raises(ValueError, match="path of a page"):
        Page("https://example.org/")
    with pytest.raises(ValueError, match="group"):
        Group("")


def test_a_fragment_that_is_unknown_or_another_one_on_each_page_is_refused() -> None:
    with pytest.raises(FragmentUnknown, match=r"shop/_stock\.html"):
        Viewing("shop/_stack.html")
    with pytest.raises(DeclarationError, match="missing"):
        Viewing("shop/_stock.html")
    with pytest.raises(DeclarationError, match="no argument"):
        Viewing("shop/_all.html", product=7)
    with pytest.raises(ValueError, match=r"by_page.*Page\(path\)"):
        Viewing("shop/_page.html")
