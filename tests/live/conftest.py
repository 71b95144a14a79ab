"""A Chromium for each module that asks for it, and pages that the client script runs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.cluster.chromium import chromium
from tests.faults import FaultyBackplane
from tests.live import stage
from tests.live.pages import LivePage
from via_state.backplanes.memory import MemoryBackplane
from via_state.live.serving import refusals
from via_state.logs import Sparing
from via_state.pod.default import use_pod
from via_state.pod.pod import Pod
from via_state.testing import pods
from via_state.testing.live import connection

connection.DEADLINE = 60.0  # others work on the machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def strict(browser: Browser) -> Iterator[Any]:
    """Opens pages under the strict policy; at the end none of them may have complained."""
    pages: list[LivePage] = []

    def open_page(body: str, **settings: Any) -> LivePage:
        page = LivePage(browser, body, **settings)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.errors == []
        page.page.close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The site of `tests.live.stage`, as new, in a process that has logged nothing yet."""
    monkeypatch.setattr(refusals, "_sparing", Sparing())
    monkeypatch.setattr(refusals, "_failures", Sparing())
    stage.renders.clear()
    stage.raising.clear()
    stage.unfoldable.clear()
    stage.stock["left"] = 7
    with stage.staged:
        yield


@pytest.fixture
def backplane() -> FaultyBackplane:
    return FaultyBackplane(MemoryBackplane({}))


@pytest.fixture
def cluster(backplane: FaultyBackplane) -> Iterator[list[Pod]]:
    with pods(2, backplane) as made, use_pod(made[0]):
        yield made


@pytest.fixture
def pod(cluster: list[Pod]) -> Pod:
    return cluster[0]


@pytest.fixture
def peer(cluster: list[Pod]) -> Pod:
    return cluster[1]
