"""Declared state as mypy and pyright see it: what they infer, and what they refuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
ACCEPTED, REFUSED = Path(__file__).with_name("accepted.py"), Path(__file__).with_name("refused.py")

MYPY_COMMENT = re.compile(r"# type: ignore\[(.+?)\]")
PYRIGHT_COMMENT = re.compile(r"# pyright: ignore\[(.+?)\]")


class Finding(NamedTuple):
    line: int
    rule: str
    message: str = ""


Checker: TypeAlias = Callable[[Path], list[Finding]]


@pytest.fixture
def mypy(pytestconfig: pytest.Config) -> Checker:
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("typing-mypy")

    def check(file: Path) -> list[Finding]:
        # Without a configuration file: what we promise must not need the plugin of django-stubs.
        options = [
            "--strict",
            "--config-file=",
            f"--cache-dir={cache}",
            "--follow-imports=silent",
            "--output=json",
        ]
        output = run([sys.executable, "-m", "mypy", *options, str(file)])
        found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [
            Finding(one["line"], one["code"], one["message"])
            for one in found
            if Path(one["file"]).name == file.name
        ]

    return check


@pytest.fixture
def pyright(tmp_path: Path) -> Checker:
    def check(file: Path) -> list[Finding]:
        config = tmp_path / "pyrightconfig.json"
        options = {"include": [str(file)], "extraPaths": [str(ROOT)], "typeCheckingMode": "standard"}
        config.write_text(json.dumps(options))
        command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
        report: dict[str, Any] = json.loads(run([*command, "--project", str(config)]))
        assert report["summary"]["filesAnalyzed"] == 1
        return [
            Finding(one["range"]["start"]["line"] + 1, one.get("rule", "syntax"), one["message"])
            for one in report["generalDiagnostics"]
        ]

    return check


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def expected(comment: re.Pattern[str]) -> set[Finding]:
    found = [(number, comment.search(line)) for number, line in enumerate(REFUSED.read_text().splitlines(), 1)]
    return {Finding(number, rule) for number, match in found if match for rule in match[1].split(", ")}


@pytest.fixture
def uncommented(tmp_path: Path) -> Path:
    """The refused lines, without the comments that would hide the errors."""
    file = tmp_path / "uncommented.py"
    file.write_text(re.sub(r"  # (type|pyright): ignore.*", "", REFUSED.read_text()))
    return file


def without_messages(findings: list[Finding]) -> set[Finding]:
    return {finding._replace(message="") for finding in findings}


def test_mypy_infers_the_types_of_declared_state(mypy: Checker) -> None:
    assert mypy(ACCEPTED) == []


def test_pyright_infers_the_types_of_declared_state(pyright: Checker) -> None:
    assert pyright(ACCEPTED) == []


def test_mypy_refuses_wrong_uses(mypy: Checker, uncommented: Path) -> None:
    assert without_messages(mypy(uncommented)) == expected(MYPY_COMMENT)


def test_pyright_refuses_wrong_uses(pyright: Checker, uncommented: Path) -> None:
    assert without_messages(pyright(uncommented)) == expected(PYRIGHT_COMMENT)


def test_mypy_shows_the_types_as_a_user_would_write_them(mypy: Checker, tmp_path: Path) -> None:
    file = tmp_path / "revealed.py"
    file.write_text(
        "from tests.typing.accepted import Feed\n"
        "reveal_type(Feed.items.read())\n"
        "reveal_type(Feed.room.at(room=7).read())\n"
        "reveal_type(Feed.limit.read())\n"
    )
    shown = [re.sub(r'.*"(.*)"', r"\1", finding.message) for finding in mypy(file)]
    assert shown == ["list[str]", "list[str]", "int | None"]
