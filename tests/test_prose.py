"""The project's own words: what was renamed stays renamed, and prose is plain English."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.test_layers import CHECKOUT

#: Names that became another one, and what they became.
RENAMED = {
    r"residents|_residents": "replicas",
    r"contest": "cell_update",
    r"pins|pinned_by|lock_gate|LogGate": "retention, RetentionHold, LogLock",
    r"_?standings?|Standing": "status",
    r"set_aside_(?:handlerposition|selected)|aside\.(?:move|MOST|tokens)": "move_to_dead_letters, blocked_records",
    r"_?bur(?:y|ied|ies)|poisoned records?": "dead letter",
    r"lineages?|matured": "snapshot_generations, compactable",
    r"seeding(?=\.)|NoBase": "restore, NoRestorePoint",
    r"stand_still|moved_rows": "halt, translate_positions",
    r"worker_?board|Draft|Verdict": "worker_metrics, SnapshotRequest, SaveOutcome",
    r"trying(?=\s*[=:,])|held_until": "in_flight_offset, lease_until",
    r"Lasting|Ear|Bell": "ExpiringCell, Listener, Notifier",
    r"entry_of|begin_anew": "log_meta_of, begin_again",
    r"Settlings?|settle_view|_settled|SETTLINGS": "Resolution, resolve",
    r"zero values?": "initial value",
}
#: What prose says another way.
PLAIN = {
    r"anew": "again",
    r"stand(?:s|ing)? still|stood still": "is halted",
    r"(?:goes|went|going) on(?! strike)|(?<!come and )\bgo on(?! strike)|goes_on(?!_strike)|(?<!come_and_)go_on": "continue",
    r"behind (?:a|the|its|their|this|that|one's) (?:last|cursor|position|floor|head|marker|offset|record|event)s?": "after",
    r"(?<!there )(?<!There )(?:is|are|was|were|became) no (?:class|place|function|address|age|attribute|element|attempt|value|text|loss|failure)s?": "is not a …",
}
#: Where they are another word, or are spoken of.
ELSEWHERE = ("CHANGELOG.md", "tests/test_prose.py", "client/package-lock.json")
FOLDERS = ("via_state", "tests", "testproject", "benchmarks", "docs", "client")
KINDS = (".py", ".md", ".html", ".txt", ".js", ".dot", ".yml", ".toml")


def words(part: dict[str, str]) -> re.Pattern[str]:
    """All of them, each in a group of its own."""
    return re.compile(rf"\b(?:{'|'.join(f'({pattern})' for pattern in part)})\b")


def texts() -> Iterator[tuple[str, str]]:
    """What is written here, without the migrations, which tell of the past."""
    paths = [path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*")]
    for path in (*paths, *CHECKOUT.glob("*.*")):
        name = str(path.relative_to(CHECKOUT))
        if name.endswith(KINDS) and name not in ELSEWHERE and "/migrations/0" not in name and path.is_file():
            yield name, path.read_text()


@pytest.mark.parametrize("part", [RENAMED, PLAIN], ids=["names", "prose"])
def test_words_that_were_given_up_stay_so(part: dict[str, str]) -> None:
    found = []
    avoided, better = words(part), list(part.values())
    for name, text in texts():
        for match in avoided.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{name}:{line}: {match[0]!r}: {better[(match.lastindex or 1) - 1]}")
    assert found == []
