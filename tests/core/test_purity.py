"""The core does no I/O, knows no clock, and stands on nothing else of the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import via_state.core

MODULES = sorted(Path(via_state.core.__file__).parent.glob("*.py"))

#: Of the standard library, what computes and nothing else.
ALLOWED = {
    "__future__", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib", "math", "msgspec",
    "operator", "re", "traceback", "typing",
}  # fmt: skip


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_a_module_of_the_core_imports_only_what_computes(module: Path) -> None:
    for name in imported(module):
        inside = name.startswith("via_state.core") or name == "via_state.exceptions"
        assert inside or name.split(".")[0] in ALLOWED or name == "urllib.parse", f"{module.name} imports {name}"


def test_the_errors_import_nothing() -> None:
    assert list(imported(Path(via_state.core.__file__).parents[1] / "exceptions.py")) == ["__future__"]
