"""The README's five minutes, followed by a newcomer: a new Django project, and the built wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from testproject.servers.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()

#: A visitor with a browser, in a process of its own: what the page shows, as JSON.
CLIENT = """
import json, re
import django
django.setup()
from django.test import Client
import via_state

browser = Client(enforce_csrf_checks=True)
for text in ("hello", "world"):
    form = browser.get("/").content.decode()
    token = re.search('name="csrfmiddlewaretoken" value="(.+?)"', form)[1]
    assert browser.post("/add/", {"text": text, "csrfmiddlewaretoken": token}).status_code == 302
page = browser.get("/").content.decode()
shown = {"items": re.findall("<li>(.*?)</li>", page), "banner": re.search("<h1>(.*?)</h1>", page)[1]}
print(json.dumps({"file": via_state.__file__, "shown": shown}))
"""


def snippet(name: str) -> str:
    """The code block of the README that begins with the name of its file."""
    found = re.search(rf"```\w+\n(?:# |<!-- ){re.escape(name)}(?: -->)?\n(.*?)```", README, re.DOTALL)
    assert found, f"the README shows no {name}"
    return found[1]


def commands() -> list[str]:
    """What the five minutes have a newcomer type."""
    minutes = README.partition("## Five minutes")[2].partition("\n## ")[0]
    return [
        line for block in re.findall(r"```console\n(.*?)```", minutes, re.DOTALL) for line in block.splitlines()
    ]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert {entry.name.partition("-")[0] for entry in wheel.iterdir()} == {"via_state"}
    for name in ("py.typed", "migrations/0001_initial.py", "backplanes/postgres/migrations/0001_initial.py"):
        assert (wheel / "via_state" / name).exists(), name


def test_the_first_screen_names_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert (ROOT / "docs/images/two-browsers.png").exists()


def test_what_is_not_folded_is_a_screen_and_a_half() -> None:
    shown = re.sub(r"<details>.*?</details>", "", README, flags=re.DOTALL)
    assert len(shown.splitlines()) < 80
    assert len(shown.split()) < 600


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_a_package_index_shows_no_picture_and_no_link_that_it_lacks(wheel: Path) -> None:
    (metadata,) = wheel.glob("*.dist-info/METADATA")
    text = metadata.read_text()
    assert "## Five minutes" in text
    assert "The guarantees in full, each with its limits" in text
    assert re.findall(r"\]\((?!https?://|#)", text) == []
    assert "Requires-Dist: channels>=4.2; extra == 'channels'" in text
    assert not re.search(r"^Requires-Dist: psycopg\[.*pool", text, re.MULTILINE)


@pytest.mark.cluster
def test_the_five_minute_example_works_in_a_new_project(
    wheel: Path, tmp_path: Path, postgres: Postgres, postgres_environment: dict[str, str]
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(wheel), str(tmp_path)]),
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PGHOST": "127.0.0.1",  # where the newcomer's PostgreSQL is
        "PGPORT": postgres_environment["VIA_DATABASE_PORT"],
        "PGUSER": "postgres",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(name: str, text: str, mode: str = "w") -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with (tmp_path / name).open(mode) as file:
            file.write(text)

    install, start, app, database, migrate, serve = commands()
    assert install == 'pip install "via-state[postgres]"'
    assert database == "createdb mysite"
    assert serve == "python manage.py runserver"
    run("-m", *start.replace("django-admin", "django").split())
    run(*app.split()[1:])
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS mysite")
        connection.execute("CREATE DATABASE mysite")
    write(
        "mysite/settings.py", snippet("mysite/settings.py, at the end") + 'ALLOWED_HOSTS = ["testserver"]\n', "a"
    )
    for name in ("feed/state.py", "feed/views.py", "feed/templates/feed/page.html", "mysite/urls.py"):
        write(name, snippet(name))
    write("feed/state.py", snippet("feed/state.py, below"), "a")
    run("manage.py", "check")
    run(*migrate.split()[1:], "--verbosity", "0")
    first, second = (json.loads(run("-c", CLIENT)) for _ in range(2))
    assert first["file"].startswith(str(wheel))
    assert first["shown"] == {"items": ["hello", "world"], "banner": "!!"}
    assert second["shown"] == {"items": ["hello", "world"] * 2, "banner": "!!!!"}, "the state survived the process"
    handled = run("manage.py", "run_projectors", "--until-caught-up").splitlines()
    assert [line.split()[0] for line in handled if line.startswith(("hello", "world"))] == ["hello", "world"] * 2
