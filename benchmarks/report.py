"""``python -m benchmarks.report``: writes what ``results.json`` says into the pages, as a table and as curves.

``python -m benchmarks`` does it after each run; ``tests/test_figures.py`` holds that pages and results agree.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

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
#: What a reader plans with. A name in braces is a result's.
SIZING = """\
* **Appends.** One process takes about {append-postgres} to one key on PostgreSQL, and {append-postgres-10000} when they go to 10,000 keys; {append-nats} and
  {append-nats-10000} on NATS. That is many callers at once, who share commits. One caller who waits for each append gets one for each commit of the database;
  `append_many` carries a thousand in one.
* **What others see, and when.** Another process shows an event after {latency-postgres-p50} on PostgreSQL and {latency-nats-p50} on NATS, half of the time; a browser has painted it
  after {paint-postgres}.
* **Tabs.** A process that serves 5,000 tabs tells all of them of a change within {fan-out-5000}. A tab with three live values costs {tab-memory} of memory, and 2,000 tabs to
  which nothing happens {idle-tabs}. Plan with 2,000 to 5,000 tabs for each process.
* **Keys.** A key whose value is a number costs a process {growth-memory-10000}: 100,000 of them fit into some hundreds of megabytes. Larger values cost their own size on top. The
  sweep over 100,000 keys takes {sweep-100000} of the event loop's time.
* **Handlers.** One worker delivers {consumer-1} of one log and {consumer-16} of sixteen, each with a commit of its own; {consumer-atomic} where the handler's writes and its position are one
  transaction. It is the figure that most projects reach first: give a family more keys, and start more workers.
* **Rule of thumb.** Plan with half of these figures, add a process for each further processor, and measure with your own events:
  [`state_load`](scale.md#how-to-find-your-own-limit) does it in five seconds."""
#: What grows in each curve.
GROWS = {
    "keys": "keys",
    "pods": "pods",
    "length": "events in the log",
    "replicas": "keys in memory",
    "memory": "keys in memory",
}
#: The parts of the table: their titles, and how the ids in them begin.
PARTS = (
    ("Appends", "append- new-logs outbox update-"),
    ("Folds and starts", "fold converge- replay- cold-start snapshots- compact- bloat- metadata metrics-"),
    ("Until others see it", "latency- subscribe- paint- fan-out- herd hot-key slow-tabs"),
    (
        "Tabs, broadcasts and who is here",
        "connect tab-memory idle-tabs followers row-of- broadcast- presence- layer-",
    ),
    ("Handlers", "consumer- new-keys"),
    ("Many keys, and operators' pages", "sweep- overview status- doctor"),
)
ROUNDS = re.compile(r"; \d+ rounds?, ")


class Line(TypedDict):
    """A line of ``results.json``."""

    id: str
    value: float
    unit: str
    raw: float | None
    ratio: float | None
    note: str
    seconds: NotRequired[float]  # older lines have none


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


def part_of(id: str) -> str:
    """The title of the part of the table that has this line."""
    return next(title for title, begins in PARTS if id.startswith(tuple(begins.split())))


def table(lines: Sequence[Line]) -> str:
    """The results as tables of a page, one for each part."""
    return "\n\n".join(
        f"### {title}\n\n{_part([line for line in lines if part_of(line['id']) == title])}" for title, _ in PARTS
    )


def _part(lines: Iterable[Line]) -> str:
    rows = ["| id | what | value | raw, in the same unit | ratio |", "|---|---|---|---|---|"]
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


def capacity(lines: Sequence[Line]) -> str:
    """What one machine does, as a table of a page."""
    rows = ["| what | how much | what limits it |", "|---|---|---|"]
    for what, much, limit in CAPACITY:
        rows.append(f"| {what} | {_filled(much, lines)} | {limit} |")
    return "\n".join(rows)


def _filled(text: str, lines: Iterable[Line]) -> str:
    known = {line["id"]: f"{figure(line['value'])} {line['unit']}" for line in lines}
    return re.sub(r"{([\w-]+)}", lambda found: known[found[1]], text)


def duration(lines: Sequence[Line]) -> str:
    """How long all lines took together."""
    known = [line["seconds"] for line in lines if "seconds" in line]
    whose = "All lines" if len(known) == len(lines) else f"{len(known)} of {len(lines)} lines"
    return f"{whose} together took {sum(known) / 60:.0f} minutes."


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
        title = f"{note[0].upper()}{note[1:]}"
        drawn[f"growth-{name}.svg"] = draw(title, group[0]["unit"], GROWS[name], shown)
    return drawn


def page(text: str, lines: Sequence[Line]) -> str:
    """A page with these results between its marks."""
    plain = [line for line in lines if not line["id"].startswith("growth-")]
    pictures = [f"![{_title(svg)}](charts/{name})" for name, svg in curves(lines).items()]
    contents = {
        "table": table(plain),
        "peers": peers(load_peers()),
        "curves": "\n\n".join(pictures),
        "sizing": _filled(SIZING, lines),
        "duration": duration(lines),
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
