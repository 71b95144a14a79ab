"""Alert rules for Prometheus, and a dashboard for Grafana: files beside this one. ``python -m via_state.monitoring`` prints them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
#: What there is, by name.
FILES = {"alerts": FOLDER / "alerts.yml", "dashboard": FOLDER / "dashboard.json"}
#: How addresses begin in the files.
PAGES = "docs/runbook.md"


def content(name: str, docs_url: str = "") -> str:
    """A file's text. ``docs_url``: the site that `make docs` built; runbooks then have addresses on it."""
    text = FILES[name].read_text()
    return text.replace(PAGES, f"{docs_url.rstrip('/')}/runbook.html") if docs_url else text
