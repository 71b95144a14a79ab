"""After a POST and a redirect another process shows the visitor's own write."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory, override_settings

from tests.faults import FaultyBackplane
from tests.pod.board import Add, Board
from tests.pod.test_revisions import deaf_peer
from via_state import telemetry
from via_state.core.offsets import Offset
from via_state.core.records import Revision
from via_state.middleware import WRITES_COOKIE, ReadYourWritesMiddleware
from via_state.pod.default import using_pod
from via_state.pod.pod import Pod
from via_state.pod.reading.awaited_reads import digest_of
from via_state.pod.reading.tracked_reads import track_reads
from via_state.pod.writing.own_writes import AGE, MOST, SALT, seal, unseal
from via_state.pod.writing.tracked_writes import TrackedWrite

SPEC = Board.numbers.definition.spec()


@pytest.fixture
def lagging(peer: Pod, backplane: FaultyBackplane) -> Pod:
    """A pod that has all of the state, and hears of nothing new."""
    with using_pod(peer):
        assert (Board.numbers.read(), Board.hits.read()) == ([], 0)
    async_to_sync(deaf_peer)(peer, backplane)
    return peer


def write(request: HttpRequest) -> HttpResponse:
    Board.numbers.append(Add(1))
    Board.hits.set(5)
    return HttpResponse(status=302)


def show(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{Board.numbers.read()} {Board.hits.read()}")


async def awrite(request: HttpRequest) -> HttpResponse:
    await Board.numbers.aappend(Add(1))
    await Board.hits.aset(5)
    return HttpResponse(status=302)


async def ashow(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{await Board.numbers.aread()} {await Board.hits.aread()}")


def serve(pod: Pod, view: Callable[..., Any], cookie: str | None = None) -> HttpResponse:
    """The answer of one process, to a request with this cookie."""
    request = RequestFactory().get("/", headers={} if cookie is None else {"cookie": f"{WRITES_COOKIE}={cookie}"})
    with using_pod(pod):
        answer = ReadYourWritesMiddleware(view)(request)
        if isinstance(answer, HttpResponseBase):
            return cast(HttpResponse, answer)

        async def wait(answer: Awaitable[HttpResponseBase]) -> HttpResponseBase:
            return await answer

        return cast(HttpResponse, async_to_sync(wait)(answer))


@pytest.mark.parametrize(("writer", "reader"), [(write, show), (awrite, ashow)], ids=["sync", "async"])
def test_another_process_shows_a_visitor_their_own_write(pod: Pod, lagging: Pod, writer: Any, reader: Any) -> None:
    written = serve(pod, writer)
    assert serve(lagging, reader).content == b"[] 0", "the case of this test"

    shown = serve(lagging, reader, written.cookies[WRITES_COOKIE].value)

    assert shown.content == b"[1] 5"
    assert WRITES_COOKIE not in shown.cookies


def test_a_rendered_block_waits_as_well(pod: Pod, lagging: Pod) -> None:
    def block(request: HttpRequest) -> HttpResponse:
        with track_reads() as reads:
            text = f"{Board.numbers.read()} {Board.hits.read()}"
        assert [read.shown.position.offset > 0 for read in reads.of(lagging).values()] == [True, True]
        return HttpResponse(text)

    cookie = serve(pod, write).cookies[WRITES_COOKIE].value
    assert serve(lagging, block, cookie).content == b"[1] 5"


@pytest.fixture
def waits() -> Iterator[list[str]]:
    """The outcomes of reads that waited."""
    outcomes: list[str] = []
    noted = telemetry.ReadWaited.subscribe(lambda event: outcomes.append(event.outcome))
    yield outcomes
    telemetry.ReadWaited.unsubscribe(noted)


def test_what_does_not_come_is_waited_for_only_so_long_in_all(pod: Pod, lagging: Pod, waits: list[str]) -> None:
    serve(pod, write)
    epoch = Board.numbers.using(pod).append(Add(2)).epoch
    later: dict[str, Offset | Revision] = {
        Board.numbers.key: Offset(99, epoch),
        Board.hits.key: Revision(99, "of nobody"),
    }
    cookie = seal({}, {key: TrackedWrite(SPEC, at) for key, at in later.items()})
    with override_settings(VIA_STATE={"LIVE_WAIT": 0.2}):
        shown = serve(lagging, show, cookie)

    assert shown.content == b"[1, 2] 0", "what is there is shown, and the second key had no time left"
    assert waits == ["timeout"]


def test_what_was_rewritten_since_is_not_waited_for(lagging: Pod, waits: list[str]) -> None:
    cookie = seal({}, {Board.numbers.key: TrackedWrite(SPEC, Offset(99, "another epoch"))})

    assert serve(lagging, show, cookie).content == b"[] 0"
    assert waits == ["epoch"]


def test_a_request_that_writes_nothing_has_no_cookie_and_waits_for_nothing(pod: Pod, waits: list[str]) -> None:
    assert not serve(pod, show).cookies
    assert waits == []


def test_a_read_waits_once_in_a_request(pod: Pod, lagging: Pod, waits: list[str]) -> None:
    def twice(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"{Board.numbers.read()} {Board.numbers.read()}")

    cookie = serve(pod, write).cookies[WRITES_COOKIE].value
    assert serve(lagging, twice, cookie).content == b"[1] [1]"
    assert waits == ["caught_up"]


def test_the_cookie_is_for_the_server_alone_and_for_ten_seconds(pod: Pod) -> None:
    with override_settings(SESSION_COOKIE_SECURE=True):
        cookie = serve(pod, write).cookies[WRITES_COOKIE]

    assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["max-age"]) == (
        True,
        True,
        "Lax",
        AGE,
    )
    assert Board.numbers.key not in str(signing.loads(cookie.value, salt=SALT))


def test_what_is_forged_too_old_or_for_something_else_counts_for_nothing() -> None:
    good = seal({}, {Board.numbers.key: TrackedWrite(SPEC, Offset(7, "e"))})
    with mock.patch("django.core.signing.time.time", return_value=time.time() - AGE - 1):
        old = seal({}, {Board.numbers.key: TrackedWrite(SPEC, Offset(7, "e"))})

    assert unseal(good) == {digest_of(Board.numbers.key): 7}
    for text in (
        None,
        "",
        "x",
        old,
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        signing.dumps([["a", "e", 7, ""]], salt="other"),
    ):
        assert unseal(text) == {}
    payloads: list[Any] = [
        {},
        [["a", "e", -1, ""]],
        [["a", "e", "7", ""]],
        [["a", "e", 7]],
        ["a"],
        None,
        [["a" * 201, "e", 7, ""]],
    ]
    for payload in payloads:
        assert unseal(signing.dumps(payload, salt=SALT)) == {}


def test_the_newest_writes_of_several_requests_are_kept() -> None:
    first = unseal(seal({}, {f"key-{n}": TrackedWrite(SPEC, Offset(n, "e")) for n in range(4)}))
    both = unseal(seal(first, {f"key-{n}": TrackedWrite(SPEC, Offset(10 + n, "e")) for n in (1, 7, 8)}))

    assert list(both) == [digest_of(f"key-{n}") for n in (2, 3, 1, 7, 8)]
    assert len(both) == MOST
    assert [int(cast(int, at)) for at in both.values()] == [2, 3, 11, 17, 18]
