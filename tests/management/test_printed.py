"""What pages show of a command is what it prints, but for figures."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.conftest import POSTGRES_ALIAS
from tests.management.test_load import backend
from tests.management.test_log_commands import Add, feed, pod, world
from via_state.pod.pod import Pod

__all__ = ["backend", "pod", "world"]

pytestmark = [
    pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True),
    pytest.mark.usefixtures("postgres"),
]
DOCS = Path(__file__).parents[2] / "docs"


def shown(page: str, command: str) -> list[str]:
    """The lines that a page shows after a command."""
    found = re.search(
        rf"^\$ python manage\.py {command}[^\n]*\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"{page} does not show {command}"
    return found[1].splitlines()


def form(line: str) -> str:
    """A line without its figures, its units and its columns' widths."""
    line = re.sub(r"\d[\d,.]*( ?(ms|s|MB|kB|B)\b(/s)?)?", "#", line)
    return " ".join(line.split())


def printed(command: str, *arguments: str) -> list[str]:
    out = io.StringIO()
    call_command(command, *arguments, stdout=out, no_color=True)
    return out.getvalue().splitlines()


def test_status_prints_what_its_page_shows(pod: Pod) -> None:
    declared = feed(pod)
    declared.room.at(room="lobby").append(Add(1))
    lines = [form(line) for line in printed("state_status")]
    renamed = {form(line.replace("counter", "items")) for line in shown("watch.md", "state_status")}
    assert renamed <= set(lines), lines


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_load_prints_what_its_page_shows(backend: str) -> None:
    lines = printed("state_load", "--writers", "8", "--keys", "1", "--seconds", "0.5")
    page = shown("scale.md", "state_load")
    assert [form(line) for line in lines if not line.startswith("Limited")] == [form(line) for line in page[:-1]]
    assert page[-1].startswith("Limited by ")
    assert any(line.startswith("Limited by ") for line in lines)
