"""The three-way morph, in Chromium under a strict policy: what the server changed is done to the page, what the page changed stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser

from tests.live.pages import LivePage
from tests.live.vectors import CASES

pytestmark = pytest.mark.browser

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[LivePage]:
    with LivePage(browser, "", exposed=True) as page:
        page.until("window.client !== undefined")
        yield page
        # What Chromium says of a frame that holds an event handler, which the client then removes.
        assert [one for one in page.errors if "Executing inline event handler" not in one] == []


@pytest.fixture(scope="module")
def found(page: LivePage) -> dict[str, Any]:
    return dict(page.page.evaluate(HERE.joinpath("morphs.js").read_text()))


def test_every_case_of_the_morph_holds(found: dict[str, Any]) -> None:
    assert len(found) >= 35
    assert {name: said for name, said in found.items() if said is not True} == {}


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_whatever_scripts_do_between_frames_what_is_the_servers_is_the_last_frame(
    page: LivePage, seed: int
) -> None:
    assert page.page.evaluate(HERE.joinpath("random_morphs.js").read_text(), seed) is None


@pytest.mark.parametrize("case", CASES["compare"], ids=lambda case: case["name"])
def test_the_client_compares_vectors_as_the_server_does(page: LivePage, case: dict[str, Any]) -> None:
    order = page.page.evaluate("({ shown, here }) => client.compare(shown, here)", case)

    assert ["SAME", "BEHIND", "OTHER", "AHEAD"][order] == case["is"]


@pytest.mark.parametrize("case", CASES["covers"], ids=lambda case: case["name"])
def test_the_client_knows_what_covers_what(page: LivePage, case: dict[str, Any]) -> None:
    assert page.page.evaluate("({ shown, wanted }) => client.covers(shown, wanted)", case) is case["is"]
