"""``python -m via_state.metrics.catalog > docs/metrics.md``: the page that lists every metric."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import django
from django.conf import settings

from via_state.metrics.declared import CATALOG, Described

_HEAD = """# Metrics

<!-- Written by: python -m via_state.metrics.catalog > docs/metrics.md -->

`key` is the declared key, for a family its template: the number of series does not grow with its members. `name` is an event handler.
"Joined" says how the gauges of several processes are made one in multiprocess mode: the least, the most, or the sum of those that live,
or the newest.
"""
_PARTS = (
    (
        "What all processes share",
        "Read from the database and the logs when somebody looks, at most once in 5 seconds: right while no worker lives, after a "
        "takeover, and from any process; take the maximum over those that you scrape. Ages are `time() -` a timestamp. With the memory "
        "backplane nothing is shared, and these are absent.",
        "via_state.metrics.shared_truth",
    ),
    ("Appends, updates, reads and connections of a process", "", "via_state.metrics.process"),
    ("Folds and snapshots of a process", "", "via_state.metrics.folds"),
    ("Event handlers of a worker", "", "via_state.metrics.consumers"),
    ("Live pages of a process", "", "via_state.metrics.live"),
    ("Messages between processes, and to tabs", "", "via_state.metrics.messages"),
)

#: What operators of the reference look for in vain, and why.
ABSENT = {
    "`via_events_erased_total`, `via_consumer_erased_total`, `via_snapshot_erasure_halt_total`": "single events of a log can't be erased; "
    "`forget_owner` removes the logs of an owner as a whole, and `via_erasures_failed_total` counts where it could not",
    "`via_scheduled_waiting`, `via_scheduled_overdue_timestamp_seconds`": "appends can't be scheduled",
    '`via_consumer_positions{state="held"}`, `via_consumer_deliveries_total{outcome="held"}`': "event handlers can't be held",
    "`via_fold_digest`": "it would have a series for each offset; `via_snapshot_compared_total` compares values where snapshots are",
    "`via_consumer_lag_seconds`": "a process knows only of its own positions; `via_consumer_oldest_timestamp_seconds` is of all",
}


def as_markdown() -> str:
    """The page. Where Django is set up."""
    importlib.import_module("via_state.metrics.exposition")
    lines = [_HEAD]
    for title, text, module in _PARTS:
        lines += [f"## {title}\n", *([f"{text}\n"] if text else []), *_table(_of(module))]
    lines += ["## Not here\n", *(f"- {names}: {why}." for names, why in ABSENT.items())]
    return "\n".join(lines) + "\n"


def _of(module: str) -> list[Described]:
    return [one for one in CATALOG if one.module == module]


def _table(metrics: Iterable[Described]) -> Iterable[str]:
    yield "| metric | type | labels | unit | what it means | worry when |"
    yield "|---|---|---|---|---|---|"
    for one in metrics:
        joined = f", joined: {one.mode.removeprefix('live')}" if one.mode else ""
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield f"| `{one.name}` | {one.kind}{joined} | {labels} | {one.unit} | {one.text} | {one.worry} |"
    yield ""


if __name__ == "__main__":
    settings.configure(INSTALLED_APPS=["via_state"])
    django.setup()
    print(as_markdown(), end="")  # noqa: T201
