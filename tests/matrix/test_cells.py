"""Which cells of Pythons and Djangos there are, and which are few."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.cells import Cell, cells, diagonal, ends, named

FOUND = {python: Path("python") for python in ("3.11", "3.12", "3.13")}


def names(chosen: list[Cell]) -> list[str]:
    return [cell.name for cell in chosen]


def test_a_python_goes_with_the_djangos_that_know_it() -> None:
    assert names(cells(FOUND)) == [
        "3.13-6.1",
        "3.13-6.0",
        "3.13-5.2",
        "3.12-6.1",
        "3.12-6.0",
        "3.12-5.2",
        "3.11-5.2",
    ]
    assert cells({}) == []


def test_the_ends_are_the_newest_and_the_oldest_but_what_runs_the_suite_itself() -> None:
    assert names(ends(cells(FOUND), "3.12-6.0")) == ["3.13-6.1", "3.11-5.2"]
    assert names(ends(cells(FOUND), "3.11-5.2")) == ["3.13-6.1"]
    assert ends(cells({"3.11": Path("python")}), "3.11-5.2") == []


def test_cells_are_chosen_by_name() -> None:
    assert names(named(cells(FOUND), ["3.11-5.2", "3.13-6.1"])) == ["3.13-6.1", "3.11-5.2"]
    with pytest.raises(SystemExit, match=r"no cell 3\.11-6\.1\. Here are: 3\.13-6\.1, "):
        named(cells(FOUND), ["3.11-6.1"])


def test_the_diagonal_has_each_of_them_once() -> None:
    assert names(diagonal(cells(FOUND))) == ["3.13-6.1", "3.12-6.0", "3.11-5.2"]
    assert names(diagonal(cells(FOUND), ["3.11", "5.2"])) == ["3.13-6.1", "3.12-6.0"]
    assert diagonal(cells({"3.11": Path("python")}), ["3.11", "5.2"]) == []
