"""The rooms of the package stand on each other in one direction: what is read from top to bottom in `LAYERS`."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import via_state

ROOT = Path(via_state.__file__).parent
#: A room may import those below it. Those in one line do not know each other.
LAYERS = [
    ["testing", "apps"],
    ["admin", "management", "middleware", "templatetags", "views", "checks", "constraints", "contrib"],
    ["live", "layers"],
    ["health", "metrics", "monitoring", "otel"],
    ["operations"],
    ["declarations"],
    ["handlers"],
    ["pod"],
    ["bookkeeping"],
    ["backplanes"],
    ["runtime", "documented"],
    ["conf", "models"],
    ["redacted"],
    ["tracing"],
    ["fields", "logs", "origin", "telemetry"],
    ["core"],
    ["exceptions"],
]
RANK = {name: rank for rank, line in enumerate(LAYERS) for name in line}


def imported(module: Path) -> Iterator[str]:
    """The rooms that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            whole = node.module or ""
            names = [f"{whole}.{alias.name}" for alias in node.names] if whole == "via_state" else [whole]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("via_state."))


def room(module: Path) -> str:
    first = module.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


MODULES = [one for one in ROOT.rglob("*.py") if "migrations" not in one.parts and one != ROOT / "__init__.py"]


@pytest.mark.parametrize("module", MODULES, ids=lambda one: str(one.relative_to(ROOT)))
def test_a_module_imports_what_is_below_it(module: Path) -> None:
    here = room(module)
    for name in imported(module):
        assert name == here or RANK[name] > RANK[here], f"{here} imports {name}"


def test_one_module_names_the_database_and_the_prefix_of_rows() -> None:
    """Whoever forgets one of them sees the rows of another project, or looks into another database."""
    by_hand = re.compile(r"\.objects\.using\(|\bprefix=settings\.PREFIX|save\(using=")
    found = {str(one.relative_to(ROOT)) for one in MODULES if by_hand.search(one.read_text())}
    assert found == {"bookkeeping/database/tables.py"}


@pytest.mark.parametrize("caller", ["admin", "management"])
def test_the_admin_and_the_commands_know_no_tables(caller: str) -> None:
    for module in (ROOT / caller).rglob("*.py"):
        assert "bookkeeping.database" not in module.read_text(), f"{module} should ask operations/"


def test_nothing_that_is_stored_is_run() -> None:
    """What can make code out of bytes is used nowhere: what comes from a backplane or a table is decoded as JSON."""
    for module in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = [node.func.id]
            assert not {"pickle", "marshal", "shelve", "eval", "exec"} & set(names), module


CHECKOUT = ROOT.parent
#: All Python of the checkout but migrations, which are never edited.
SOURCES = [
    one
    for folder in ("via_state", "tests", "testproject", "benchmarks", "client")
    for one in (CHECKOUT / folder).rglob("*.py")
    if "migrations" not in one.parts
]


def test_no_file_has_more_than_400_lines_and_half_of_the_package_less_than_100() -> None:
    lines = {one: len(one.read_text().splitlines()) for one in SOURCES}
    assert {str(one.relative_to(CHECKOUT)): count for one, count in lines.items() if count > 400} == {}
    assert statistics.median(lines[one] for one in MODULES) < 100


def attributes(declared: ast.ClassDef) -> set[str]:
    """What a class's objects hold: fields, and what methods give ``self``."""
    found = {
        node.target.id
        for node in declared.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node in ast.walk(declared):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            found.add(node.attr)
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda one: str(one.relative_to(ROOT)))
def test_a_class_with_more_than_15_attributes_says_why(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef) and len(attributes(node)) > 15:
            assert "attributes" in (ast.get_docstring(node) or ""), f"{node.name}: {sorted(attributes(node))}"


#: The rooms of live pages, each of which imports from those after it alone.
LIVE = ["announcing", "serving", "rendering", "visitors", "protocol"]


@pytest.mark.parametrize(
    "module", sorted((ROOT / "live").rglob("*.py")), ids=lambda one: str(one.relative_to(ROOT / "live"))
)
def test_a_module_of_live_pages_imports_what_is_below_it(module: Path) -> None:
    here = module.relative_to(ROOT / "live").parts[0]
    if here not in LIVE:
        return
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("via_state.live."):
            there = (node.module or "").split(".")[2]
            typing_only = LIVE.index(there) < LIVE.index(here)
            assert not typing_only or node.col_offset > 0, f"{here} imports {there}"
