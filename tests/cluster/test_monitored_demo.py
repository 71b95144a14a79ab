"""The running demo, as Prometheus sees it: `make demo MONITOR=1`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testproject import demo
from testproject.servers.ports import free_port, why_unusable
from testproject.servers.prometheus import MISSING, installed
from testproject.servers.waiting import wait_until
from tests.cluster.test_demo import READY, Demo
from tests.conftest import server_folder
from tests.metrics.names import NAMES
from tests.metrics.test_monitoring import ALERTS, QUERIES, RULES, selectors

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def running() -> Iterator[Demo]:
    port = free_port()
    while any(why_unusable(port + number) for number in range(demo.PODS)):
        port = free_port()
    with server_folder() as folder:
        run = Demo(folder, port, "--monitor")
        try:
            run.wait_to_say(READY)
            yield run
        finally:
            run.process.terminate()
            run.end()


def addresses(run: Demo) -> set[str]:
    """Of its web pods and of its worker."""
    return set(re.findall(r"^  http://([\d.:]+)/(?:metrics for Prometheus)?$", run.output, re.MULTILINE))


def ask(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def series(page: str) -> set[str]:
    """The names of all series that a page has, or would have with a first figure."""
    found = set()
    for one in text_string_to_metric_families(page):
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(one.type, [""])
        found |= {one.name + end for end in ends}
    return found


def test_every_metric_of_every_query_is_shown_by_the_running_demo(running: Demo) -> None:
    shown: set[str] = set()
    for address in addresses(running):
        shown |= series(ask(f"http://{address}/metrics"))
    asked = {one.name for query in [*QUERIES, *(rule["expr"] for rule in RULES)] for one in selectors(query)}
    assert len(asked) > 20
    assert {name for name in asked if not name.startswith("via:")} <= shown


def test_every_metric_of_the_catalogue_is_shown_by_the_running_demo(running: Demo) -> None:
    for address in addresses(running):
        shown = series(ask(f"http://{address}/metrics"))
        for name, (kind, _) in NAMES.items():
            assert (f"{name}_count" if kind == "histogram" else name) in shown, (address, name)


def test_prometheus_scrapes_all_processes_and_judges_the_rules(running: Demo) -> None:
    if not installed():
        assert f"{MISSING}. The demo runs without it." in running.output
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    (site,) = re.findall(r"(\S+)/alerts$", running.output, re.MULTILINE)

    def answer(path: str) -> Any:
        return json.loads(ask(f"{site}/api/v1/{path}"))["data"]

    def well() -> set[str]:
        targets = answer("targets")["activeTargets"]
        return {one["labels"]["instance"] for one in targets if one["health"] == "up"}

    wait_until(lambda: well() == addresses(running), "a scrape of each process", 60)
    assert len(well()) == demo.PODS + 1
    rules = [one for group in answer("rules")["groups"] for one in group["rules"]]
    assert [one["name"] for one in rules if one["type"] == "alerting"] == [one["alert"] for one in ALERTS]
    wait_until(
        lambda: all(one["health"] == "ok" for group in answer("rules")["groups"] for one in group["rules"]),
        "a judgement of each rule",
        60,
    )
    assert not [one for one in answer("alerts")["alerts"] if one["state"] == "firing"]


def test_where_prometheus_is_missing_a_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo.watching(tmp_path, [], None) is None  # type: ignore[arg-type]
    assert capsys.readouterr().out == (
        "Prometheus is not installed. On Debian and Ubuntu: apt-get install prometheus. The demo runs without it.\n"
    )
