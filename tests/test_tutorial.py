"""The tutorial, followed by a newcomer with a browser: an empty folder, the built wheel, a PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect

from testproject.servers.ports import HOST
from testproject.servers.postgres import Postgres
from testproject.servers.waiting import wait_until
from tests.cluster.chromium import chromium
from tests.typist import BLOCK, Typist

PAGE = (Path(__file__).resolve().parent.parent / "docs/tutorial.md").read_text()
STEP_WORDS = 150


@pytest.fixture
def typist(
    wheel: Path, tmp_path: Path, postgres: Postgres, postgres_environment: dict[str, str]
) -> Iterator[Typist]:
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS poll WITH (FORCE)")
    somebody = Typist(
        PAGE,
        tmp_path,
        {
            "PYTHONPATH": os.pathsep.join([str(wheel), str(tmp_path)]),
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "PGHOST": HOST,  # where the newcomer's PostgreSQL is
            "PGPORT": postgres_environment["VIA_DATABASE_PORT"],
            "PGUSER": "postgres",
            "DJANGO_SUPERUSER_PASSWORD": "secret",
        },
    )
    yield somebody
    somebody.end()


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_a_step_is_short_and_ends_with_something_to_see() -> None:
    steps = PAGE.split("\n## ")[1:]
    assert [step[:5] for step in steps] == ["Step "] * len(steps)
    for step in steps:
        words = BLOCK.sub("", step).split()
        assert len(words) <= STEP_WORDS, step.partition("\n")[0]
        assert "**See:**" in step.rpartition("```")[2]


@pytest.mark.cluster
@pytest.mark.browser
def test_the_tutorial_works_to_the_letter(typist: Typist, browser: Browser, postgres: Postgres) -> None:
    one, two = (f"http://{HOST}:{typist.port(shown)}" for shown in (8001, 8002))
    page, other = browser.new_page(), browser.new_page()

    typist.follow(1)
    page.goto(one)
    vote(page, "Tea")
    expect(page.locator("li")).to_have_text("tea: 1")

    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        typist.commands["createdb"] = lambda name: connection.execute(f"CREATE DATABASE {name}")
        typist.follow(2)
    page.goto(one)
    expect(page.locator("li")).to_have_count(0)
    vote(page, "Tea")
    other.goto(two)
    expect(other.locator("li")).to_have_text("tea: 1")

    typist.follow(3)
    page.goto(one)
    other.goto(two)
    for shown in (page, other):
        expect(shown.locator("html")).to_have_attribute("data-via-connection", "online")
    page.get_by_role("button", name="Tea").click()
    for shown in (page, other):
        expect(shown.locator("li")).to_have_text("tea: 2")

    typist.follow(4)
    wait_until(lambda: "Thank you for tea!" in typist.said("run_projectors"), "the thanks")

    typist.follow(5)
    page.get_by_role("button", name="Coffee").click()
    other.goto(f"{one}/admin/via_state/deadletter/")
    other.get_by_label("Username").fill("admin")
    other.get_by_label("Password").fill("secret")
    other.get_by_role("button", name="Log in").click()
    letters = other.locator("#result_list tbody a")
    wait_until(lambda: bool(other.reload() and letters.count()), "the dead letter")
    letters.first.click()
    expect(other.locator("body")).to_contain_text("The coffee machine is broken.")
    letter = other.url
    state, reloads = typist.folder / "poll/state.py", typist.reloads()
    state.write_text(state.read_text().replace("MACHINE_WORKS = False", "MACHINE_WORKS = True"))
    typist.wait_for_reload(reloads)
    other.goto(letter)
    other.get_by_role("link", name="Replay").click()
    other.get_by_role("button", name="Replay").click()
    other.goto(letter)
    expect(other.get_by_role("link", name="Replay")).to_have_count(0)
    wait_until(lambda: "Thank you for coffee!" in typist.said(str(typist.port(8001))), "the thanks for coffee")

    typist.follow(6)
    assert (typist.folder / "static/via_state/via-1.js").exists()
    page.goto(one)
    expect(page.locator("html")).to_have_attribute("data-via-connection", "online")
    page.get_by_role("button", name="Tea").click()
    expect(page.locator("li").first).to_have_text("tea: 3")
    # Chromium sends a POST again, to another process, whose connection breaks before the answer begins.
    expect(page.locator("form[data-via-busy]")).to_have_count(0)
    (_, server) = next(running for running in typist.running if running[0] == str(typist.port(8001)))
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    before = children.read_text().split()
    os.kill(int(before[-1]), signal.SIGKILL)
    wait_until(lambda: children.read_text().split() not in (before, before[:-1]), "a new process")
    for _ in range(4):
        page.goto(one)
        expect(page.locator("li")).to_have_text(["tea: 3", "coffee: 1"])
    assert {re.sub(r"\[.*", "", name) for name in typist.installed} == {
        "via-state",
        "daphne",
        "uvicorn",
        "websockets",
        "whitenoise",
    }


def vote(page: Page, choice: str) -> None:
    page.get_by_role("button", name=choice).click()
