"""Who looks at a live page: all that what they are shown may depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

from asgiref.sync import sync_to_async
from django.http import HttpRequest, QueryDict
from django.utils.functional import SimpleLazyObject, cached_property
from msgspec.structs import replace

from via_state.declarations.owners import KnownOwner, Owned, Owner
from via_state.exceptions import NotInLiveBlock
from via_state.live.visitors.naming import Names
from via_state.live.visitors.signed_in import user_of
from via_state.live.visitors.tickets import ticket_of
from via_state.live.visitors.tokens import Ticket

if TYPE_CHECKING:
    from via_state.declarations.owners import User


class Visitor(Owned):
    """What a fragment gets in place of a request, which is gone when a block is rendered again.

    In templates it is the request: context processors run, ``user`` and ``perms`` are there. What a page can't follow raises
    `NotInLiveBlock`: the session, cookies, and, without ``by_page=True``, path and query. A class of state is bound to it as to a
    request: ``Feed(visitor).unread.read()``.
    """

    method = "GET"
    resolver_match = None
    content_type = None
    encoding = None

    def __init__(
        self, ticket: Ticket, *, host: str = "", secure: bool = False, user: User | None = None, page: str = ""
    ) -> None:
        """``user``: who it is, where that is known. ``page``: path and query of the page, where the render may depend on them."""
        self.ticket = ticket
        self.host = host
        self._secure = secure
        self._known_user = user
        self._page = page
        self.META: dict[str, str] = {}

    @classmethod
    def of_request(cls, request: HttpRequest) -> Visitor:
        """The visitor of a request; the same one whenever it is asked for."""
        if isinstance(request, Visitor):
            return request
        found: Visitor | None = getattr(request, "_via_visitor", None)
        if found is None:
            ticket = ticket_of(request)
            user = request.user if ticket.user else None
            found = cls(ticket, host=request.get_host(), secure=request.is_secure(), user=user)
            request._via_visitor = found  # type: ignore[attr-defined]
        return found

    @classmethod
    def of_ticket(cls, ticket: Ticket, *, host: str = "", secure: bool = False) -> Visitor:
        """The visitor whom a page's ticket names. The user is looked for at first use."""
        return cls(ticket, host=host, secure=secure)

    def again(self, *, page: str = "") -> Self:
        """The same visitor, of whom nothing is known yet: what they may see is asked once more."""
        return type(self)(
            self.ticket, host=self.host, secure=self._secure, user=self._known_user, page=page or self._page
        )

    def join(self, groups: tuple[str, ...]) -> None:
        """The page's groups are these: before its ticket is written."""
        self.ticket = replace(self.ticket, groups=groups)

    # Who ------------------------------------------------------------------------------------------------------

    @cached_property
    def user(self) -> Any:
        """The user, looked for at first use; an ``AnonymousUser`` where nobody is signed in, or no longer so."""
        if self._known_user is not None:
            return self._known_user
        return SimpleLazyObject(lambda: user_of(self.ticket))

    async def auser(self) -> Any:
        """`user`, for async functions, where the first use of it must not query."""
        await sync_to_async(lambda: self.user.is_authenticated)()
        return self.user

    def state_owner(self) -> Owner:
        """For a class of state that is bound to this visitor."""
        return KnownOwner(self.ticket.sid, self.user)

    @cached_property
    def names(self) -> Names:
        """What pages of this visitor call the state that they show."""
        return Names(self.ticket)

    @property
    def language(self) -> str:
        """The language of the page, as ``"de"``."""
        return self.ticket.language

    LANGUAGE_CODE = language

    @property
    def timezone(self) -> str:
        """The name of the page's time zone."""
        return self.ticket.timezone

    # Where ----------------------------------------------------------------------------------------------------

    def is_secure(self) -> bool:
        """Whether the page came by HTTPS."""
        return self._secure

    @property
    def scheme(self) -> str:
        """``"http"`` or ``"https"``."""
        return "https" if self._secure else "http"

    def get_host(self) -> str:
        """The host of the page, with its port."""
        return self.host

    def build_absolute_uri(self, location: str | None = None) -> str:
        """The whole address of a path on this host."""
        return HttpRequest.build_absolute_uri(self, location)  # type: ignore[arg-type]

    @property
    def _current_scheme_host(self) -> str:
        return f"{self.scheme}://{self.host}"

    def get_full_path(self, force_append_slash: bool = False) -> str:
        """Path and query of the page, with ``by_page=True``."""
        if not self._page:
            _refuse(
                "The path of the page",
                "Declare the fragment with by_page=True: it is then rendered for each page by itself.",
            )
        return self._page

    @property
    def path(self) -> str:
        """The path of the page, with ``by_page=True``."""
        return self.get_full_path().partition("?")[0]

    @property
    def path_info(self) -> str:
        """`path`."""
        return self.path

    @cached_property
    def GET(self) -> QueryDict:  # noqa: N802 - as a request has it
        """The query of the page, with ``by_page=True``."""
        return QueryDict(self.get_full_path().partition("?")[2])

    @cached_property
    def POST(self) -> QueryDict:  # noqa: N802
        """Empty."""
        return QueryDict()

    # What is gone ---------------------------------------------------------------------------------------------

    @property
    def session(self) -> NoReturn:
        """Raises `NotInLiveBlock`: the block would not follow it."""
        _refuse("The session", "Keep what it shows in a StateSess, and read that: Feed(visitor).profile.read().")

    @property
    def COOKIES(self) -> NoReturn:  # noqa: N802
        """Raises `NotInLiveBlock`."""
        _refuse("Cookies", "Render what depends on them outside of the block.")

    @property
    def headers(self) -> NoReturn:
        """Raises `NotInLiveBlock`."""
        _refuse("Headers", "Render what depends on them outside of the block.")


def _refuse(what: str, instead: str) -> NoReturn:
    raise NotInLiveBlock(
        f"{what} can't be read in a live block, which is rendered again when the request is over. {instead}"
    )
