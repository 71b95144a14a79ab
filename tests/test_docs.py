"""The pages say what is so: their snippets run, and they list what the code has."""

from __future__ import annotations

import inspect
import re
import sys
from configparser import ConfigParser
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from django.core.management import call_command, get_commands, load_command_class
from django.test import override_settings
from prometheus_client import REGISTRY

from docs import commands
from docs.diagrams.draw import digest_of
from tests.conftest import POSTGRES_ALIAS
from via_state import exceptions, telemetry, views
from via_state.backplanes.nats.options import DEFAULTS as NATS_OPTIONS
from via_state.backplanes.postgres.backend import DEFAULTS as POSTGRES_OPTIONS
from via_state.conf import DEFAULTS
from via_state.declarations.registry import registry
from via_state.live.rendering.fragments import fragments
from via_state.metrics import catalog
from via_state.pod.pod import Pod
from via_state.testing import drain, settings_pod

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = (DOCS / "reference.md").read_text()
METRICS = (DOCS / "metrics.md").read_text()
CODE = {path: path.read_text() for path in (ROOT / "via_state").rglob("*.py")}


DIAGRAMS = sorted((DOCS / "diagrams").glob("*.dot"))


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a new module, to run snippets in; what they declare is forgotten afterwards."""
    made = ModuleType("tests.snippets")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    for event in telemetry.all_events():
        monkeypatch.setattr(event, "_subscribers", event._subscribers)
    return vars(made)


#: The guides' pages with Python in them, and the pages for operators. Each runs after the declarations of ``declare.md``.
GUIDES = ["backplane.md", "broadcasts.md", "channels.md", "evolve.md", "handlers.md", "operate.md", "postgresql.md", "presence.md", "reads.md", "sessions.md", "testing.md", "transactions.md", "validation.md", "watch.md"]  # fmt: skip
#: Those in which it matters where state lives.
STORED = ["evolve.md", "handlers.md", "reads.md", "transactions.md"]
POSTGRES = {"BACKEND": "via_state.backplanes.postgres.PostgresBackplane", "DATABASE": POSTGRES_ALIAS}


def run_guide(page: str, module: dict[str, Any], pod: Pod) -> None:
    """Run the snippets of a page in their order, and then the event handlers that they declare."""
    for name in ("declare.md", page):
        found = snippets(name)
        assert found, name
        for snippet in found:
            if pod.backplane.durable:
                snippet = snippet.replace("transaction.atomic()", f'transaction.atomic(using="{POSTGRES_ALIAS}")')
            exec(compile(snippet, name, "exec"), module)
    drain(pod)


@pytest.mark.django_db
@pytest.mark.parametrize("page", GUIDES)
def test_the_snippets_of_a_guide_run(page: str, state_pod: Pod, module: dict[str, Any]) -> None:
    with registry.isolated(), fragments.isolated():
        run_guide(page, module, state_pod)
        if page == "testing.md":
            assert module["FeedTests"]("test_an_item_shows").run().wasSuccessful()
        elif page == "handlers.md":
            assert module["Feed"].items.read() == ["from a file"]


@pytest.mark.usefixtures("postgres")
@pytest.mark.django_db(databases=[POSTGRES_ALIAS, "default"], transaction=True)
@pytest.mark.parametrize("page", STORED)
def test_the_snippets_of_a_guide_run_on_postgresql(page: str, module: dict[str, Any]) -> None:
    with registry.isolated(), fragments.isolated(), override_settings(VIA_STATE=POSTGRES), settings_pod() as pod:
        run_guide(page, module, pod)
        if page == "transactions.md":
            assert module["Feed"].items.read()[-1] == "sold"


def test_every_page_with_python_is_run() -> None:
    with_python = {path.name for path in DOCS.glob("*.md") if "```python" in path.read_text()}
    # tests/test_tutorial.py types the tutorial.
    assert with_python == {*GUIDES, "declare.md", "index.md", "live.md", "tutorial.md"}


def test_a_guide_is_about_one_task_and_can_be_read_in_five_minutes() -> None:
    (shown,) = re.findall(r":caption: Guides\n:hidden:\n\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    listed = {f"{name}.md" for name in shown.split()} - {"how-to.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", (DOCS / "how-to.md").read_text())) == listed
    for page in listed:
        words = re.sub(r"^```.*?^```", "", (DOCS / page).read_text(), flags=re.DOTALL | re.MULTILINE).split()
        assert len(words) < 1400, page


def test_the_snippets_of_live_pages_run(state_pod: Pod, module: dict[str, Any]) -> None:
    with registry.isolated(), fragments.isolated():
        for snippet in snippets("live.md"):
            exec(compile(snippet, "live.md", "exec"), module)
        assert {one.problem() for one in fragments} == {None}
        module["Chat"].room.at(room=7).append(module["Posted"](1, "hi"))
        assert module["count"](7) == {"count": 1}


def test_the_snippet_of_the_first_page_counts(state_pod: Pod, module: dict[str, Any]) -> None:
    (declared,) = snippets("index.md")
    with registry.isolated():
        exec(compile(declared, "poll/state.py", "exec"), module)
        module["Poll"].votes.append(module["Voted"]("tea"))
        assert module["Poll"].votes.read() == {"tea": 1}
        assert module["Poll"].question.read() == "Tea or coffee?"


@pytest.mark.parametrize("page", ["guarantees.md", "security.md", "decisions.md"])
def test_every_test_that_a_promise_names_exists(page: str) -> None:
    named = set(re.findall(r"`((?:tests|via_state)/[\w/]+\.py(?:::[\w:]+)?)`", (DOCS / page).read_text()))
    assert len(named) >= 10
    for name in named:
        path, _, test = name.partition("::")
        assert (ROOT / path).exists(), name
        for part in filter(None, test.split("::")):
            assert re.search(rf"(def|class) {part}\b", (ROOT / path).read_text()), name


def test_the_reference_lists_every_setting_with_its_default() -> None:
    for name, default in DEFAULTS.items():
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert f"| `{name}` | `{shown}` |" in REFERENCE
    for name in {*POSTGRES_OPTIONS, *NATS_OPTIONS} - {"DATABASE", "PREFIX"}:
        assert f"`{name}`" in REFERENCE


def test_the_reference_lists_every_check() -> None:
    in_code = {f"via_state.{found}" for text in CODE.values() for found in re.findall(r"\b[EW]0\d\d\b", text)}
    assert set(re.findall(r"via_state\.[EW]\d+", REFERENCE)) == in_code


def test_the_reference_names_every_error() -> None:
    for name, error in inspect.getmembers(exceptions, inspect.isclass):
        if issubclass(error, exceptions.ViaStateError):
            assert error.__doc__, name
            assert f"{name}`" in REFERENCE, name


def test_the_catalogue_of_metrics_is_current() -> None:
    assert catalog.as_markdown() == METRICS, "python -m via_state.metrics.catalog > docs/metrics.md"


def test_the_help_of_every_command_is_what_it_says() -> None:
    page = (DOCS / "commands.md").read_text()
    assert commands.as_markdown() == page, "python -m docs.commands"
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == sorted(COMMANDS)
    for name in COMMANDS:
        assert f"| `{name}" in REFERENCE, name
    text = StringIO()
    with redirect_stdout(text), pytest.raises(SystemExit):
        call_command("prune_dead_letters", "--help")
    (shown,) = re.findall(r"## prune_dead_letters\n\n```text\n(.*?)```", page, re.DOTALL)
    described = " ".join(shown.partition("options:")[2].split())
    assert described in " ".join(text.getvalue().split())


def test_the_catalogue_lists_every_metric() -> None:
    ours = set()
    for metric in REGISTRY.collect():
        if metric.name.startswith("via_"):
            ours.add(f"{metric.name}_total" if metric.type == "counter" else metric.name)
    assert set(re.findall(r"`(via_[a-z_]+)`", METRICS.partition("\n## Not here\n")[0])) == ours


@pytest.mark.parametrize("source", DIAGRAMS, ids=lambda path: path.stem)
def test_a_diagram_is_drawn_from_its_source(source: Path) -> None:
    drawing = source.with_suffix(".svg")
    assert f"source: {digest_of(source)}" in drawing.read_text(), "make diagrams"
    assert any(f"](diagrams/{drawing.name})" in page.read_text() for page in DOCS.glob("*.md"))


PAGES = [*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
COMMANDS = {name for name, app in get_commands().items() if app == "via_state"}


def anchors(page: Path) -> set[str]:
    """Those of its headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", page.read_text())):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_and_options_that_exist(page: Path) -> None:
    for name, rest in re.findall(
        r"manage\.py (\w+)([^`\n|;&]*)", page.read_text().replace("run_projectors, --", "run_projectors --")
    ):
        if name not in COMMANDS:
            continue
        known = load_command_class("via_state", name).create_parser("manage.py", name)._option_string_actions
        for option in re.findall(r"(?<!\S)(--[a-z][a-z-]*)", rest):
            assert option in known, f"{name} {option}"


#: The pages on running it.
OPERATION = ("production.md", "deploy.md", "postgresql.md", "nats.md", "watch.md", "operate.md", "runbook.md", "troubleshooting.md", "scale.md", "backup.md", "upgrading.md")  # fmt: skip


def test_the_pages_for_operators_name_metrics_that_exist() -> None:
    for page in OPERATION:
        text = (DOCS / page).read_text()
        for name in re.findall(r"\bvia_[a-z_]+\b", text):
            assert name in METRICS or name in (
                "via_state",
                "via_state_worker",
                "via_state_pack",
                "via_log",
                "via_cells",
                "via_session",
            ), name
        for check in re.findall(r"\b[EW]0\d\d\b", text):
            assert f"via_state.{check}" in REFERENCE, check


def test_the_changelog_has_the_form_that_it_names() -> None:
    for part in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        headings = re.findall(r"^### (.*)$", part, re.MULTILINE)
        assert len(set(headings)) == len(headings), headings
        assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
        for line in part.splitlines()[1:]:
            assert re.match(r"$|### |- \S|  \S", line), line


def test_what_the_pages_give_to_deploy_is_well_formed_and_asks_for_what_there_is() -> None:
    text = (DOCS / "deploy.md").read_text()
    manifests = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    pods = [one["spec"]["template"]["spec"] for one in manifests if one.get("kind") == "Deployment"]
    assert len(pods) == 2
    asked = {
        probe["httpGet"]["path"].strip("/")
        for pod in pods
        for container in pod["containers"]
        for name, probe in container.items()
        if name.endswith("Probe")
    }
    assert asked == {"livez", "readyz"}
    assert all(callable(getattr(views, name)) for name in asked)
    scaled = next(one for one in manifests if one.get("kind") == "HorizontalPodAutoscaler")
    assert scaled["spec"]["scaleTargetRef"]["name"] in [
        one["metadata"]["name"] for one in manifests if one.get("kind") == "Deployment"
    ]
    for unit in re.findall(r"```ini\n(.*?)```", text, re.DOTALL):
        parsed = ConfigParser(strict=True)
        parsed.optionxform = str  # type: ignore[method-assign,assignment]
        parsed.read_string(unit)
        assert {"Unit", "Service", "Install"} == set(parsed.sections())
