"""``python -m benchmarks.report``: writes what ``results.json`` says into the pages, as a table and as curves.

``python -m benchmarks`` does it after each run; ``tests/test_figures.py`` holds that pages and results agree.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from benchmarks.chart import Curve, draw

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).with_name("results.json")
PEERS = Path(__file__).with_name("peers.json")
PAGE = ROOT / "docs" / "figures.md"
SCALE = ROOT / "docs" / "scale.md"
CHARTS = ROOT / "docs" / "charts"
BEGIN, END = "<!-- Written by make bench: {} -->", "<!-- until here -->"
#: What one machine does: what, how much, and what limits it. A name in braces is a result's.
CAPACITY = (
    ("appends to one key, 256 in flight in one process", "{append-postgres} on PostgreSQL, {append-nats} on NATS", "encoding, and one commit for each pack"),
    ("appends to one key, one after the other", "one for each commit of the database", "the disk; `append_many`, or several callers, share a commit"),
    ("a change, from the append to the fold in another process", "{latency-postgres-p50} on PostgreSQL, {latency-nats-p50} on NATS, half of them", "the commit, and one round trip"),
    ("1,000 readers on one event loop are told of a change", "{subscribe-1000}", ""),
    ("`read()`", "a look-up in a dictionary", ""),
    ("folding a log again, without a snapshot", "{replay-postgres} on PostgreSQL, {replay-nats} on NATS", "your `fold`"),
    ("a start with a snapshot, of a log of a million events", "{cold-start}", ""),
    ("`update()` of one value by eight processes at once", "{update-8}", "each writer loses to seven others: append events instead"),
    ("deliveries to handlers, one log, one worker", "{consumer-1}; {consumer-atomic} with `atomic=True`", "one commit for each event"),
    ("the same, sixteen logs", "{consumer-16}", ""),
    ("records through the outbox, one key", "{outbox}", ""),
    ("10,000 logs with three handlers, in which nothing happens", "{consumer-idle} for each worker", ""),
)  # fmt: skip
ROUNDS = re.compile(r"; \d+ rounds?, ")


class Line(TypedDict):
    """A line of ``results.json``."""

    id: str
    value: float
    unit: str
    raw: float | None
    ratio: float | None
    note: str


class Side(TypedDict):
    """One of those that did the same work: the median of its rounds, and the least and the most."""

    name: str
    value: float
    least: float
    most: float


class PeerLine(TypedDict):
    """A comparison of ``peers.json``."""

    id: str
    what: str
    unit: str
    lower_is_better: bool
    sides: list[Side]


class PeerPackage(TypedDict):
    """Another package of ``peers.json``: how it was used, and what each does that the other does not."""

    name: str
    version: str
    used: str
    it_does: str
    we_do: str


class Peers(TypedDict):
    """What ``peers.json`` holds."""

    packages: list[PeerPackage]
    lines: list[PeerLine]


def load() -> list[Line]:
    """All results, in the order of the benchmarks."""
    lines: list[Line] = json.loads(RESULTS.read_text())
    return lines


def load_peers() -> Peers:
    """What was measured beside other packages."""
    found: Peers = json.loads(PEERS.read_text())
    return found


def figure(value: float | None) -> str:
    """Three digits: 4,030,000, 63,900, 2.36, 0.0123."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def table(lines: Iterable[Line]) -> str:
    """The results as a table of a page."""
    rows = ["| id | what | value | raw | ratio |", "|---|---|---|---|---|"]
    for line in lines:
        note = ROUNDS.split(line["note"])[0].replace("|", "\\|")
        ratio = "" if line["ratio"] is None else f"{line['ratio']:.2f}"
        rows.append(
            f"| `{line['id']}` | {note} | {figure(line['value'])} {line['unit']} | {figure(line['raw'])} | {ratio} |"
        )
    return "\n".join(rows)


def peers(found: Peers) -> str:
    """The comparisons with other packages, as tables of a page. Whoever is fastest is set in bold."""
    rows = ["| what | who | median | least to most | of the fastest |", "|---|---|---|---|---|"]
    for line in found["lines"]:
        values = [side["value"] for side in line["sides"]]
        best = min(values) if line["lower_is_better"] else max(values)
        for number, side in enumerate(line["sides"]):
            share = best / side["value"] if line["lower_is_better"] else side["value"] / best
            name = f"**{side['name']}**" if side["value"] == best else side["name"]
            rows.append(
                f"| {'' if number else line['what']} | {name} | {figure(side['value'])} {line['unit']} | "
                f"{figure(side['least'])} to {figure(side['most'])} | {share:.2f} |"
            )
    rows += [
        "",
        "| package | how it was used | what it does that via_state does not | what via_state does that it does not |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {one['name']} {one['version']} | {one['used']} | {one['it_does']} | {one['we_do']} |"
        for one in found["packages"]
    ]
    return "\n".join(rows)


def capacity(lines: Iterable[Line]) -> str:
    """What one machine does, as a table of a page."""
    known = {line["id"]: f"{figure(line['value'])} {line['unit']}" for line in lines}
    rows = ["| what | how much | what limits it |", "|---|---|---|"]
    for what, much, limit in CAPACITY:
        measured = re.sub(r"{([\w-]+)}", lambda found: known[found[1]], much)
        rows.append(f"| {what} | {measured} | {limit} |")
    return "\n".join(rows)


def curves(lines: Sequence[Line]) -> dict[str, str]:
    """The drawings of the results that grow with something, by the name of their file."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if found := re.fullmatch(r"growth-(\w+)-\d+", line["id"]):
            groups.setdefault(found[1], []).append(line)
    drawn = {}
    for name, group in groups.items():
        note, _, raw = ROUNDS.split(group[0]["note"])[0].partition("; raw: ")
        points = [(float(line["id"].rpartition("-")[2]), line["value"]) for line in group]
        shown = [Curve("with a snapshot" if raw else "", points)]
        if raw:
            others = [(float(line["id"].rpartition("-")[2]), line["raw"] or 0.0) for line in group]
            shown.append(Curve(raw, others))
        drawn[f"growth-{name}.svg"] = draw(f"{note[0].upper()}{note[1:]}", group[0]["unit"], shown)
    return drawn


def page(text: str, lines: Sequence[Line]) -> str:
    """A page with these results between its marks."""
    plain = [line for line in lines if not line["id"].startswith("growth-")]
    pictures = [f"![{_title(svg)}](charts/{name})" for name, svg in curves(lines).items()]
    contents = {
        "table": table(plain),
        "peers": peers(load_peers()),
        "curves": "\n\n".join(pictures),
        "capacity": capacity(lines),
    }
    for name, content in contents.items():
        begin = BEGIN.format(name)
        written = f"{begin}\n\n{content}\n\n{END}"
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(END)}", lambda _, new=written: new, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def _title(svg: str) -> str:
    found = re.search(r"<title>(.*?)</title>", svg)
    return found[1] if found else ""


def write() -> None:
    """Write the pages and the drawings."""
    lines = load()
    for path in (PAGE, SCALE):
        path.write_text(page(path.read_text(), lines))
    CHARTS.mkdir(exist_ok=True)
    for name, svg in curves(lines).items():
        (CHARTS / name).write_text(svg)


if __name__ == "__main__":
    write()
