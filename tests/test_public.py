"""What is public is stated, and documented: everything else may change without a word."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path.name: path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
REFERENCE = PAGES["reference.md"]
PUBLIC = (
    "via_state",
    "via_state.backplanes.base",
    "via_state.backplanes.memory",
    "via_state.backplanes.nats",
    "via_state.backplanes.postgres",
    "via_state.contrib.health",
    "via_state.exceptions",
    "via_state.layers",
    "via_state.live",
    "via_state.middleware",
    "via_state.telemetry",
    "via_state.testing",
    "via_state.testing.conformance",
    "via_state.testing.live",
    "via_state.views",
)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def exported(name: str) -> dict[str, Any]:
    found = module(name)
    return {one: getattr(found, one) for one in found.__all__}


def own(name: str) -> set[str]:
    """What a module defines itself, and does not mark as its own business."""
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(inspect.getsource(module(name))).body
    return {node.name for node in body if isinstance(node, defined) and not node.name.startswith("_")}


def documented(value: Any) -> Iterator[tuple[str, Any]]:
    """A public object, and what a user may call of it."""
    yield "", value
    if inspect.isclass(value):
        for kind in value.__mro__:
            if kind.__module__.startswith("via_state"):
                for name, method in vars(kind).items():
                    if (
                        not re.match("_|test_", name)
                        and not hasattr(unittest.TestCase, name)
                        and (inspect.isfunction(method) or isinstance(method, property))
                    ):
                        yield f".{name}", method


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_says_what_is_public(name: str) -> None:
    assert len(module(name).__all__) == len(exported(name)) > 0
    assert own(name) <= set(exported(name))


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_has_a_docstring(name: str) -> None:
    for one, value in exported(name).items():
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        inherited = {what for what, part in documented(value) if part.__doc__}
        missing = {what for what, part in documented(value)} - inherited
        assert not missing, f"{name}.{one}: {sorted(missing)}"


def test_the_reference_states_the_public_modules() -> None:
    stated = REFERENCE.partition("## What is public")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(via_state[\w.]*)`", stated, re.MULTILINE)) == set(PUBLIC)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_imports_what_is_public(page: str) -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("via_state"):
                assert node.module in PUBLIC
                names = {one.name for one in node.names}
                assert names <= {*exported(node.module), *(one.rpartition(".")[2] for one in PUBLIC)}


@pytest.mark.parametrize("page", PAGES)
def test_a_class_or_function_that_a_page_names_is_public(page: str) -> None:
    for path in re.findall(r"\bvia_state(?:\.[a-z_]+)*\.[A-Z]\w+", PAGES[page]):
        place, _, name = path.rpartition(".")
        if place == "via_state" and re.fullmatch(r"[EW]\d+", name):
            continue  # a check
        if name.isupper():
            continue  # a setting
        assert name in exported(place), path
