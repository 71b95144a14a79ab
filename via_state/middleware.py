"""Middleware: it ends a session's state with its session, says on whose behalf a request appends, and shows visitors what they wrote.

Each of them says ``Cache-Control: private`` of a page with live places that are of its visitor alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers

from via_state.conf import settings
from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.declarations.session_end import aend_session_state, end_session_state
from via_state.declarations.session_id import Flushes
from via_state.live.announcing.session_ends import end_tabs_of
from via_state.live.rendering.written import AT, in_place, vector_of
from via_state.origin import lazy_context
from via_state.pod.default import current_pod
from via_state.pod.reading.awaited_reads import await_reads
from via_state.pod.writing.own_writes import AGE, seal, unseal
from via_state.pod.writing.tracked_writes import TrackedWrites, track_writes

__all__ = [
    "ActorMiddleware",
    "ReadYourWritesMiddleware",
    "SessionStateMiddleware",
]

WRITES_COOKIE = "via_at"

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class _Middleware(ABC):
    """For requests that are handled on a thread, and for those on an event loop."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._aanswered(request)
        return _private(request, self._answer(request))

    async def _aanswered(self, request: HttpRequest) -> HttpResponseBase:
        return _private(request, await self._aanswer(request))

    @abstractmethod
    def _answer(self, request: HttpRequest) -> HttpResponseBase: ...

    @abstractmethod
    async def _aanswer(self, request: HttpRequest) -> HttpResponseBase: ...


def _private(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A page with live places of its visitor alone is not for caches that others share."""
    if getattr(request, "_via_personal", False):
        patch_vary_headers(response, ["Cookie"])
        patch_cache_control(response, private=True)
    return response


class SessionStateMiddleware(_Middleware):
    """Notices that a request flushed its session, and ends the session's state. Put it after SessionMiddleware.

    Live tabs of a session that was flushed, or got another key at a login, are closed in every process.
    A logout through ``django.contrib.auth`` is noticed without it. A login as somebody else, a password changed
    elsewhere and a ``flush`` of your own are not; requests and connections that had loaded the session before could then continue
    with its state.
    """

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        flushes = _watch(request)
        response = cast(HttpResponseBase, self.get_response(request))
        end_tabs_of(flushes.keys)
        for sid in flushes.sids:
            end_session_state(sid)
        return response

    async def _aanswer(self, request: HttpRequest) -> HttpResponseBase:
        flushes = _watch(request)
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        end_tabs_of(flushes.keys)
        for sid in flushes.sids:
            await aend_session_state(sid)
        return response


def _watch(request: HttpRequest) -> Flushes:
    if not hasattr(request, "session"):
        raise ImproperlyConfigured(
            "SessionStateMiddleware needs the session: put "
            "'django.contrib.sessions.middleware.SessionMiddleware' before it in MIDDLEWARE."
        )
    return Flushes(request.session)


class ActorMiddleware(_Middleware):
    """What a request appends says on whose behalf: the primary key of ``request.user``. Put it after AuthenticationMiddleware.

    The user is looked up when something is appended, not before. The request's ``traceparent`` is kept with it, where there is one.
    """

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        with _origin_of(request):
            return cast(HttpResponseBase, self.get_response(request))

    async def _aanswer(self, request: HttpRequest) -> HttpResponseBase:
        with _origin_of(request):
            return await cast(Awaitable[HttpResponseBase], self.get_response(request))


class _UserOf:
    """The user of a request, when it is asked for."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def get(self) -> object:
        return self._request.user.pk

    async def aget(self) -> object:
        return (await self._request.auser()).pk


def _origin_of(request: HttpRequest) -> AbstractContextManager[None]:
    if not hasattr(request, "user"):
        raise ImproperlyConfigured(
            "ActorMiddleware needs the user: put 'django.contrib.auth.middleware.AuthenticationMiddleware' before it in MIDDLEWARE."
        )
    return lazy_context(_UserOf(request), request.headers.get("traceparent", ""))


class ReadYourWritesMiddleware(_Middleware):
    """Shows visitors what they wrote, also where another process answers their next request.

    What a request appends, sets or resets is noted in a signed cookie, ``via_at``, that lasts 10 seconds. The first read of that
    state in a later request waits until this process has it, for ``LIVE_WAIT`` seconds at most in all; then what is there is shown.
    What `append_on_commit` writes is not waited for. The answer to a form that a live page sends in place says in ``X-Via-At`` where the
    state is that was written.
    """

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        before = unseal(request.COOKIES.get(WRITES_COOKIE))
        with await_reads(before, settings.LIVE_WAIT) as reads, track_writes() as writes:
            response = cast(HttpResponseBase, self.get_response(request))
        written = _hand_over(response, before, writes)
        if in_place(request):
            response[AT] = vector_of(request, {**reads.met, **written})
        return response

    async def _aanswer(self, request: HttpRequest) -> HttpResponseBase:
        before = unseal(request.COOKIES.get(WRITES_COOKIE))
        with await_reads(before, settings.LIVE_WAIT) as reads, track_writes() as writes:
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        written = _hand_over(response, before, writes)
        if in_place(request):
            response[AT] = await sync_to_async(vector_of)(request, {**reads.met, **written})
        return response


def _hand_over(
    response: HttpResponseBase, before: Mapping[str, Offset | Revision], writes: TrackedWrites
) -> dict[str, Offset | Revision]:
    """Give the visitor what to wait for next time; what was written now, by wire key."""
    written = writes.of(current_pod()) if writes else {}
    if written:
        response.set_cookie(
            WRITES_COOKIE,
            seal(before, written),
            max_age=AGE,
            path=django_settings.SESSION_COOKIE_PATH,
            domain=django_settings.SESSION_COOKIE_DOMAIN,
            secure=django_settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return {key: write.at for key, write in written.items()}
