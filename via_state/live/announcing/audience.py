"""To whom something is said: all tabs, or those of a page, a session, a user, a group, or those that show a fragment.

Nothing in it tells who that is: whoever reads what processes say to each other sees digests, keyed with ``SECRET_KEY``. Which tab is
meant is decided by the process that has the tab, when the message arrives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Literal, Protocol

import msgspec
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Model

from via_state.exceptions import SessionRequired, UserRequired
from via_state.live.rendering.fragments import fragments
from via_state.live.visitors.tokens import Ticket, digest
from via_state.pod.sealing import keys

Digest = Annotated[str, msgspec.Meta(max_length=16)]


class Facts(Protocol):
    """What a process knows of one of its tabs."""

    @property
    def ticket(self) -> Ticket: ...

    @property
    def nodes(self) -> Collection[str]:
        """The ids of what it shows."""


class To(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """An audience. Made by `ALL`, `Page`, `Session`, `User`, `Group` and `Viewing`."""

    kind: Literal["all", "page", "session", "user", "group", "viewing"]
    digests: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=8)] = ()

    def matches(self, facts: Facts) -> bool:
        """Whether a tab belongs to it."""
        match self.kind:
            case "all":
                return True
            case "viewing":
                return any(one in facts.nodes for one in self.digests)
            case "group":
                return any(self._names(name) for name in facts.ticket.groups)
            case "page":
                return self._names(facts.ticket.path.partition("?")[0])
            case "session":
                return self._names(facts.ticket.session)
            case "user":
                return self._names(facts.ticket.user)

    def _names(self, text: str) -> bool:
        return bool(text) and any(_keyed(key, self.kind, text) in self.digests for key in keys())


@lru_cache(maxsize=65_536)
def _keyed(key: bytes, kind: str, text: str) -> str:
    return blake2b(f"{kind}\0{text}".encode(), key=key[:64], digest_size=8, person=b"via_state.to").hexdigest()


def _one(kind: Literal["page", "session", "user", "group"], text: str) -> To:
    return To(kind, (_keyed(keys()[0], kind, text),))


#: Every tab of every process.
ALL = To("all")


def Page(path: str) -> To:  # noqa: N802
    """The tabs that show the page at ``path``, as ``request.path`` gives it: ``"/orders/"``."""
    if not str(path).startswith("/"):
        raise ValueError(f'{path!r:.80} is not the path of a page. Give it as request.path does: "/orders/".')
    return _one("page", path)


def Session(source: Any) -> To:  # noqa: N802
    """The tabs of one browser: of a request, or of its session. Raises `SessionRequired` where there is none yet."""
    session = getattr(source, "session", source)
    if not isinstance(session, SessionBase):
        raise TypeError(f"Session() takes a request or a session, not a {type(source).__name__}.")
    if not session.session_key:
        raise SessionRequired("The visitor has no session yet, so no tab can belong to it. Save one first.")
    return of_session(digest(session.session_key))


def of_session(session: str) -> To:
    """The tabs of the session with this digest, see `Ticket.session`."""
    return _one("session", session)


def User(user: Any) -> To:  # noqa: N802
    """The tabs in which a user is signed in, in all browsers. Takes the user, or the primary key. Raises `UserRequired`."""
    pk = getattr(user, "pk", user)
    if isinstance(user, Model) and pk is not None:
        pk = user._meta.pk.value_to_string(user)  # as sessions have it
    if pk is None or pk == "":
        raise UserRequired(
            "An anonymous visitor is nobody, who has no tabs. Use Session(request) for the browser."
        )
    return _one("user", str(pk))


def Group(name: str) -> To:  # noqa: N802
    """The tabs of visitors of whom ``LIVE_GROUPS`` said that they are in this group when their page was rendered."""
    if not name:
        raise ValueError(f"{name!r:.80} is not the name of a group.")
    return _one("group", name)


def Viewing(fragment: str, **arguments: object) -> To:  # noqa: N802
    """The tabs that show a fragment with these arguments. Raises `FragmentUnknown`, `DeclarationError` (the arguments), ValueError
    (a fragment that is ``by_page``).
    """
    return To("viewing", nodes_of(fragment, arguments, "Say Page(path) for the tabs of a page."))


def nodes_of(fragment: str, arguments: Mapping[str, object], instead: str) -> tuple[str, ...]:
    """The ids of the nodes that show it. ``instead``: what to do where a fragment has one on each page."""
    found = fragments.get(fragment)
    if found.by_page:
        raise ValueError(
            f"{found} is another place on each page and query (by_page=True), and only tabs know which there are. {instead}"
        )
    return (found.spec(arguments).id,)
