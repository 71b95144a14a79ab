"""The README's five minutes, followed by a newcomer: a new Django project, and the built wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest

from testproject.servers.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()

#: A process that uses the project: its answers, as JSON.
CLIENT = """
import asyncio, json
import django
django.setup()
from django.test import AsyncClient, Client
import via_state

async def show():
    return (await AsyncClient().get("/")).json()

offsets = [Client().post("/add/", {"text": text}).json()["offset"] for text in ("hello", "world")]
print(json.dumps({"file": via_state.__file__, "offsets": offsets, "shown": asyncio.run(show())}))
"""


def snippet(name: str) -> str:
    """The code block of the README that begins with the name of its file."""
    found = re.search(rf"```python\n# {re.escape(name)}\n(.*?)```", README, re.DOTALL)
    assert found, f"the README shows no {name}"
    return found[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked: what an installation would hold."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    assert {entry.name.partition("-")[0] for entry in wheel.iterdir()} == {"via_state"}
    for name in ("py.typed", "migrations/0001_initial.py", "backplanes/postgres/migrations/0001_initial.py"):
        assert (wheel / "via_state" / name).exists(), name


def test_the_first_screen_names_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert (ROOT / "docs/images/two-browsers.png").exists()


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.cluster
def test_the_five_minute_example_works_in_a_new_project(
    wheel: Path, tmp_path: Path, postgres: Postgres, postgres_environment: dict[str, str]
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(wheel),
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
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

    run("-m", "django", "startproject", "mysite", ".")
    run("manage.py", "startapp", "feed")
    (tmp_path / "feed/state.py").write_text(snippet("feed/state.py") + snippet("feed/state.py, below"))
    (tmp_path / "feed/views.py").write_text(snippet("feed/views.py"))
    (tmp_path / "mysite/urls.py").write_text(snippet("mysite/urls.py"))
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": postgres_environment["VIA_DATABASE_PORT"],
        "USER": "postgres",
        "NAME": "newcomer",
    }
    with (tmp_path / "mysite/settings.py").open("a") as settings:
        settings.write(snippet("mysite/settings.py"))
        settings.write(f'DATABASES = {{"default": {database!r}}}\nALLOWED_HOSTS = ["testserver"]\n')
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS newcomer")
        connection.execute("CREATE DATABASE newcomer")
    run("manage.py", "check")
    run("manage.py", "migrate", "--verbosity", "0")
    first, second = (json.loads(run("-c", CLIENT)) for _ in range(2))
    assert first["file"].startswith(str(wheel))
    assert first["offsets"] == [1, 2]
    assert first["shown"] == {"items": ["hello", "world"], "banner": "!!"}
    assert second["offsets"] == [3, 4], "the state survived the first process"
    assert second["shown"] == {"items": ["hello", "world"] * 2, "banner": "!!!!"}
    handled = run("manage.py", "run_projectors", "--until-caught-up").splitlines()
    assert [line.split()[0] for line in handled if line.startswith(("hello", "world"))] == ["hello", "world"] * 2
