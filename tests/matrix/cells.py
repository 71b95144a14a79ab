"""Which Python goes with which Django, and which of them are here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: The Djangos, newest first, with the oldest Python of each.
DJANGOS = {"6.1": "3.12", "6.0": "3.12", "5.2": "3.11"}
#: Where version managers keep interpreters, beside those on the PATH.
MANAGED = "~/.pyenv/versions", "~/.local/share/uv/python"


class Cell(NamedTuple):
    """A Python by its interpreter, and a Django."""

    python: str
    interpreter: Path
    django: str

    @property
    def name(self) -> str:
        return f"{self.python}-{self.django}"


def interpreters() -> dict[str, Path]:
    """The interpreters that are found and run, by version."""
    found = {}
    for python in PYTHONS:
        for path in _candidates(python):
            if _version(path) == python:
                found[python] = path
                break
    return found


def _candidates(python: str) -> Iterator[Path]:
    if on_path := shutil.which(f"python{python}"):
        yield Path(on_path)
    for folder in MANAGED:
        yield from sorted(Path(folder).expanduser().glob(f"*{python}.*/bin/python{python}"), reverse=True)


def _version(path: Path) -> str:
    """As "3.12"; empty for what is there and does not run, as pyenv's shims of versions that are not chosen."""
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def cells(found: Mapping[str, Path]) -> list[Cell]:
    """All that go together, newest first."""
    return [
        Cell(python, found[python], django)
        for python in reversed(PYTHONS)
        for django, oldest in DJANGOS.items()
        if python in found and PYTHONS.index(python) >= PYTHONS.index(oldest)
    ]


def ends(every: list[Cell], own: str) -> list[Cell]:
    """The newest and the oldest of the cells, without the one that this environment is."""
    return [cell for cell in dict.fromkeys([*every[:1], *every[-1:]]) if cell.name != own]


def named(every: list[Cell], names: Collection[str]) -> list[Cell]:
    """Those of these names. Raises SystemExit where one is not there."""
    if unknown := sorted(set(names) - {cell.name for cell in every}):
        raise SystemExit(f"There is no cell {unknown[0]}. Here are: {', '.join(cell.name for cell in every)}.")
    return [cell for cell in every if cell.name in names]


def diagonal(every: list[Cell], seen: Collection[str] = ()) -> list[Cell]:
    """As few of the cells as have each Python and each Django but those ``seen`` elsewhere, newest with newest."""
    left = {part for cell in every for part in (cell.python, cell.django)} - set(seen)
    chosen: list[Cell] = []
    while left:
        best = max(every, key=lambda cell: ((cell.python in left) + (cell.django in left), -every.index(cell)))
        chosen.append(best)
        left -= {best.python, best.django}
    return chosen
