"""Which code continues from what other code folded, and by which migrations."""

from __future__ import annotations

import pytest

from via_state.core.manifest import Manifest, Reading
from via_state.core.snapshots import migration_path

BASE = Manifest(1, "value", "initial", {"A": "a", "B": "b"}, ["Gone"])


def test_code_that_knows_more_events_continues() -> None:
    more = Manifest(1, "value", "initial", {"A": "a", "B": "b", "C": "c"}, ["Gone", "Other"])
    assert more.continues(BASE)
    assert not BASE.continues(more), "it would miss what C did"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Manifest(2, "value", "initial", {"A": "a", "B": "b"}), "version 1 became 2"),
        (Manifest(1, "other", "initial", {"A": "a", "B": "b"}), "the type of the value changed"),
        (Manifest(1, "value", "other", {"A": "a", "B": "b"}), "the value before the first event changed"),
        (Manifest(1, "value", "initial", {"A": "a", "B": "x"}), "the fold of B changed"),
        (Manifest(1, "value", "initial", {"A": "a"}), "the event B is gone"),
        (
            Manifest(1, "value", "initial", {"A": "a", "B": "b", "Gone": "g"}),
            "the event Gone was retired and is back",
        ),
    ],
)
def test_other_code_does_not_and_can_say_why(other: Manifest, why: str) -> None:
    assert not other.continues(BASE)
    assert other.differences(BASE) == why
    assert other.fingerprint != BASE.fingerprint


PAID = Reading("rules", {"amount": "int", "note": "str"}, ["amount"])


@pytest.mark.parametrize(
    ("reading", "agrees"),
    [
        (Reading("rules", {"amount": "int", "note": "str", "currency": "str"}, ["amount"]), True),
        (Reading("rules", {"amount": "int"}, ["amount"]), True),
        (Reading("rules", {"amount": "int", "note": "str", "currency": "str"}, ["amount", "currency"]), False),
        (Reading("rules", {"amount": "str", "note": "str"}, ["amount"]), False),
        (Reading("others", PAID.fields, PAID.required), False),
    ],
)
def test_code_that_reads_events_otherwise_folds_them_again_while_it_can(reading: Reading, agrees: bool) -> None:
    old, new = (Manifest(1, "value", "initial", {"Paid": "fold"}, (), {"Paid": one}) for one in (PAID, reading))
    assert new.continues(old) is agrees
    assert new.folds_like(old), "where it can't, what the other code folded is the truth"
    assert new.fingerprint != old.fingerprint
    assert new.differences(old) == ("" if agrees else "the event Paid is read otherwise")


def test_a_manifest_survives_being_stored() -> None:
    assert Manifest.parse(BASE.text) == BASE
    assert Manifest.parse(BASE.text).fingerprint == BASE.fingerprint


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ({(1, 2)}, None),
        ({(1, 3)}, [(1, 3)]),
        ({(1, 2), (2, 3)}, [(1, 2), (2, 3)]),
        ({(1, 2), (2, 3), (1, 3)}, [(1, 3)]),
        ({(1, 2), (2, 1), (2, 4), (4, 3)}, [(1, 2), (2, 4), (4, 3)]),
    ],
)
def test_the_shortest_chain_of_migrations(steps: set[tuple[int, int]], path: list[tuple[int, int]] | None) -> None:
    assert migration_path(dict.fromkeys(steps, str), 1, 3) == path
