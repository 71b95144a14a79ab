"""The pages of figures say what the results file says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import report

ROOT = Path(__file__).resolve().parent.parent
LINES = report.load()
#: How many points each curve has.
CURVES = {
    "growth-keys.svg": 5,
    "growth-pods.svg": 5,
    "growth-length.svg": 3,
    "growth-replicas.svg": 4,
    "growth-memory.svg": 3,
}
PEER_LINES = ["append", "append-many", "replay", "tasks", "tasks-many", "layer-p50", "layer"]


@pytest.mark.parametrize("path", [report.PAGE, report.SCALE], ids=lambda path: path.name)
def test_a_page_of_figures_agrees_with_the_results(path: Path) -> None:
    text = path.read_text()
    assert text.count("<!-- Written by make bench: ") == text.count(report.END) > 0
    assert report.page(text, LINES) == text, "python -m benchmarks.report"


def test_the_curves_are_drawn_from_the_results() -> None:
    drawn = report.curves(LINES)
    assert {path.name: path.read_text() for path in report.CHARTS.glob("*.svg")} == drawn, (
        "python -m benchmarks.report"
    )
    assert {name: svg.count('<circle class="d0"') for name, svg in drawn.items()} == CURVES
    for svg in drawn.values():
        ElementTree.fromstring(svg)
        assert "prefers-color-scheme: dark" in svg


def test_a_result_has_a_unit_and_a_part_of_the_page() -> None:
    for line in LINES:
        assert line["unit"].strip(), line["id"]
        assert line["id"].startswith("growth-") or report.part_of(line["id"])


def test_the_page_says_how_long_all_lines_took() -> None:
    one: report.Line = {
        "id": "x",
        "value": 1.0,
        "unit": "ms",
        "raw": None,
        "ratio": None,
        "note": "",
        "seconds": 90.0,
    }
    older: report.Line = {"id": "y", "value": 1.0, "unit": "ms", "raw": None, "ratio": None, "note": ""}
    assert report.duration([one, one]) == "All lines together took 3 minutes."
    assert report.duration([one, one, older]) == "2 of 3 lines together took 3 minutes."


def test_a_result_that_a_page_names_is_one_of_a_benchmark() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    named = {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"\[`([\w-]+)`\]\(figures\.md", page.read_text())
    }
    assert len(named) > 5
    assert [name for name in named if f'"{name}"' not in sources] == []


def test_other_packages_are_of_an_environment_of_their_own() -> None:
    """The versions that were measured are those that would be installed; none of them is in ours, but what tests use."""
    pinned, found = (ROOT / "requirements" / "peers.txt").read_text(), report.load_peers()
    ours = (ROOT / "requirements" / "dev.txt").read_text() + (ROOT / "pyproject.toml").read_text()
    for package in found["packages"]:
        assert f"\n{package['name']}=={package['version']} " in pinned
        assert package["name"] == "channels-redis" or f"\n{package['name']}==" not in ours
        assert any(side["name"].startswith(package["name"]) for line in found["lines"] for side in line["sides"])


def test_a_comparison_shows_who_is_fastest_be_it_another_package() -> None:
    assert [line["id"] for line in report.load_peers()["lines"]] == PEER_LINES
    sides: list[report.Side] = [
        {"name": name, "value": value, "least": value - 1, "most": value + 1}
        for name, value in (("via_state", 4.0), ("other", 2.0))
    ]
    line: report.PeerLine = {"id": "x", "what": "work", "unit": "ms", "lower_is_better": True, "sides": sides}
    rows = report.peers({"packages": [], "lines": [line]}).splitlines()
    assert rows[2:4] == [
        "| work | via_state | 4.00 ms | 3.00 to 5.00 | 0.50 |",
        "|  | **other** | 2.00 ms | 1.00 to 3.00 | 1.00 |",
    ]


def test_each_benchmark_has_a_line_and_declares_nothing_late() -> None:
    script = """
import importlib, pathlib, django
django.setup()
for path in pathlib.Path("benchmarks").glob("*.py"):
    if path.stem not in ("__main__", "settings"):
        importlib.import_module(f"benchmarks.{path.stem}")
from benchmarks.__main__ import known
print(*(one.id for one in known()))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "VIA_DATABASE_PORT": "1",
        "VIA_BENCH_NATS": "",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [line["id"] for line in LINES], "make bench"


def test_a_figure_has_three_digits() -> None:
    shown = [report.figure(value) for value in (4_031_019.5, 63_914.9, 2.3649, 0.01234, 385.4, 0.0, None)]
    assert shown == ["4,030,000", "63,900", "2.36", "0.0123", "385", "0", ""]
