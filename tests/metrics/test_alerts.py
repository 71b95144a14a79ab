"""Prometheus itself judges the alert rules, with series for which each must fire and others for which it must not; and our expositions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metrics.alert_cases import CASES, Case
from tests.metrics.promtool import promtool
from via_state.metrics import catalog, exposition
from via_state.monitoring import FILES, content

RULES = [rule for group in yaml.safe_load(content("alerts"))["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]


def of(alert: str, labels: dict[str, str]) -> dict[str, Any]:
    """The rule of an alert; of two with one name, that with these labels."""
    (rule,) = (one for one in ALERTS if one["alert"] == alert and one["labels"].items() <= labels.items())
    found: dict[str, Any] = rule
    return found


def worlds(case: Case) -> Iterator[dict[str, Any]]:
    labels = {"severity": case.severity, **case.labels}
    notes = of(case.alert, labels)["annotations"]
    said = {"exp_labels": labels, "exp_annotations": {**notes, "description": case.description}}
    fires = {"eval_time": case.at, "alertname": case.alert, "exp_alerts": [said]}
    early = {"eval_time": case.not_at, "alertname": case.alert, "exp_alerts": []}
    yield world(case, case.series, [early, fires])
    for quiet in case.quiet:
        others = [{"eval_time": at, "alertname": case.alert, "exp_alerts": []} for at in case.moments]
        yield world(case, quiet, others)


def world(case: Case, series: dict[str, str], tests: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": f"{case.step}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": tests,
    }


def test_the_rules_are_rules() -> None:
    said = promtool("check", "rules", FILES["alerts"])
    assert f"SUCCESS: {len(RULES)} rules found" in said


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.severity}")
def test_an_alert_fires_when_it_must_and_only_then(case: Case, tmp_path: Path) -> None:
    judged = [one for one in RULES if one.get("alert") == case.alert]
    recorded = [
        one for one in RULES if "record" in one and any(one["record"] in alert["expr"] for alert in judged)
    ]
    rules, tests = tmp_path / "rules.yml", tmp_path / "tests.yml"  # JSON is YAML
    rules.write_text(json.dumps({"groups": [{"name": "judged", "rules": recorded + judged}]}))
    tests.write_text(
        json.dumps(
            {"rule_files": [str(rules)], "evaluation_interval": f"{case.step}s", "tests": list(worlds(case))}
        )
    )
    assert "SUCCESS" in promtool("test", "rules", tests)


def test_every_alert_has_a_case_and_a_world_in_which_it_is_quiet() -> None:
    assert {(one.alert, one.severity) for one in CASES} == {
        (one["alert"], one["labels"]["severity"]) for one in ALERTS
    }
    assert len(CASES) == len(ALERTS)
    assert all(case.quiet for case in CASES)


def test_an_exposition_is_one_to_prometheus() -> None:
    catalog.as_markdown()  # imports all metrics
    promtool("check", "metrics", given=exposition.page())
