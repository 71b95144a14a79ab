"""The alert rules and the dashboard ask for what there is, and each alert has a runbook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from via_state.metrics import catalog
from via_state.metrics.declared import CATALOG, Described
from via_state.monitoring import FILES, content

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
#: What Prometheus adds to every series.
SCRAPED = {"job", "instance"}
#: Variables of Grafana.
VARIABLES = {"$job", "$key", "$name"}

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(content("alerts"))["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
DASHBOARD: dict[str, Any] = json.loads(content("dashboard"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


class Selector(NamedTuple):
    """A series that an expression asks for, and the values that it asks for by label."""

    name: str
    labels: dict[str, list[str]]


def selectors(expression: str) -> Iterator[Selector]:
    """Those of our own metrics, and of recorded rules."""
    for name, inside in re.findall(r"\b(via[_:][a-z0-9_:]+)(\{[^}]*\})?", expression):
        matchers = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', inside)
        assert inside.count('"') == 2 * len(matchers), expression
        yield Selector(name, {label: value.split("|") for label, value in matchers})


def grouped(expression: str) -> set[str]:
    """The labels of the result, as its ``by`` clauses say; all of them must agree."""
    found = {frozenset(re.findall(r"\w+", one)) for one in re.findall(r"\bby \(([^)]*)\)", expression)}
    assert len(found) <= 1, expression
    return set(next(iter(found), frozenset()))


@cache
def described() -> dict[str, Described]:
    catalog.as_markdown()  # imports them all
    return {one.name: one for one in CATALOG}


def metric(name: str) -> tuple[Described, set[str]]:
    """The metric of a series, and the labels that the series has."""
    known = described()
    if name in known and known[name].kind != "histogram":
        return known[name], set(known[name].labels)
    base, _, part = name.rpartition("_")
    assert part in ("bucket", "count", "sum"), name
    assert base in known, name
    assert known[base].kind == "histogram", name
    return known[base], {*known[base].labels, *(["le"] if part == "bucket" else [])}


def check(expression: str, recorded: dict[str, set[str]]) -> None:
    assert expression.count("(") == expression.count(")")
    found = list(selectors(expression))
    assert found, expression
    available: set[str] = set()
    for one in found:
        if one.name.startswith("via:"):
            assert one.name in recorded, one.name
            available |= recorded[one.name]
            continue
        what, labels = metric(one.name)
        available |= labels | SCRAPED
        for label, values in one.labels.items():
            assert label in labels | SCRAPED, expression
            if label == "le":
                continue  # see `test_the_objective_of_appends_is_a_bucket`
            for value in values:
                assert value in VARIABLES or value in what.text, f"{one.name} has no {label} {value!r}"
    for clause in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.findall(r"\w+", clause)) <= available, expression


def test_each_rule_asks_for_metrics_and_labels_that_there_are() -> None:
    recorded: dict[str, set[str]] = {}
    for rule in RULES:
        check(rule["expr"], recorded)
        if "record" in rule:
            assert rule["record"] not in recorded
            recorded[rule["record"]] = grouped(rule["expr"])
    used = {one.name for rule in ALERTS for one in selectors(rule["expr"]) if one.name.startswith("via:")}
    assert used == set(recorded)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_what_is_so_and_has_a_runbook(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in notes["summary"]  # so that a group of alerts has one
    assert all(notes[name].endswith(".") for name in ("summary", "description"))
    assert notes["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert f"\n## {rule['alert']}\n" in RUNBOOK
    kept = grouped(rule["expr"])
    for one in selectors(rule["expr"]):
        kept |= next((grouped(other["expr"]) for other in RULES if other.get("record") == one.name), set())
    assert set(re.findall(r"\$labels\.(\w+)", notes["description"])) <= kept


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"^## (Via\w+)$", RUNBOOK, re.MULTILINE)) == {one["alert"] for one in ALERTS}


def test_the_alerts_that_the_pages_name_are_there() -> None:
    page = (ROOT / "docs" / "watch.md").read_text()
    told = page.partition("## What to be told of")[2].partition("\n## ")[0]
    watched = {one.name for rule in ALERTS for one in selectors(rule["expr"])}
    assert set(re.findall(r"via_[a-z_]+", told)) - {"via_state"} <= watched


@pytest.mark.parametrize("query", QUERIES)
def test_each_panel_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    check(query, {})
    assert 'job=~"$job"' in query


def test_the_dashboard_is_what_grafana_imports() -> None:
    panels = DASHBOARD["panels"]
    assert [one["title"] for one in panels if one["type"] == "row"] == [
        "Is it well?",
        "Appends",
        "Folds",
        "Handlers",
        "Store",
        "Live",
    ]
    assert len({one["id"] for one in panels}) == len(panels)
    cells = [
        (x, y)
        for one in panels
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels lie on each other"
    assert all(x < 24 for x, _ in cells)
    variables = DASHBOARD["templating"]["list"]
    assert {f"${one['name']}" for one in variables} == {"$datasource", *VARIABLES}
    for one in variables[1:]:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["definition"]).groups()  # type: ignore[union-attr]
        assert label in metric(name)[1] | SCRAPED


def test_the_objective_of_appends_is_a_bucket() -> None:
    from via_state.metrics.process import append_seconds

    assert 0.1 in append_seconds._upper_bounds


def test_the_files_are_printed_with_addresses_of_a_site() -> None:
    command = [sys.executable, "-m", "via_state.monitoring", "alerts", "--docs-url", "https://docs.example.com/x/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    urls = {
        one["annotations"]["runbook_url"]
        for group in yaml.safe_load(said)["groups"]
        for one in group["rules"]
        if "alert" in one
    }
    assert "https://docs.example.com/x/runbook.html#viakeyhalted" in urls
    assert content("dashboard") == FILES["dashboard"].read_text()
