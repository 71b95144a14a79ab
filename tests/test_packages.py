"""What is built for others holds what is meant to be in it, whatever else lies in the checkout, and says what it is made of."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
STRAY = (
    ".env", "dump.sql", "notes.md", "db.sqlite3", ".demo/pgpass", "testproject/key", "tests/recorded.json", "via_state/.env", "via_state/dump.json",
    "via_state/notes.txt", "via_state/models.py.orig", "via_state/backplanes/credentials", "via_state/static/via_state/.admin.css.swp",
)  # fmt: skip


PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *module], cwd=ROOT, capture_output=True, text=True, check=False)


def test_neither_package_holds_what_lies_about(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "via_state", checkout / "via_state", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "hatch_build.py"):
        shutil.copy(ROOT / name, checkout / name)
    meant = {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}
    for name in STRAY:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("a secret")
    command = [sys.executable, "-m", "build", "--sdist", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(checkout)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (source,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with tarfile.open(source) as archive:
        packed = {one.name.partition("/")[2] for one in archive.getmembers()}
    assert packed == meant | {"PKG-INFO"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    installed = {name for name in names if ".dist-info/" not in name}
    assert installed == {name for name in meant if name.startswith("via_state/")}
    beside = {name.partition("/")[2] for name in names - installed}
    assert beside == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "licenses/LICENSE",
        "sboms/via-state.cdx.json",
    }
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", metadata) == [], (
        "a picture or a link that leads nowhere on an index"
    )
    assert "Project-URL" not in metadata, "this project has no public address that it could name"
    checked = run(
        "twine",
        "--no-color",
        "check",
        "--strict",
        *map(str, (*tmp_path.glob("*.tar.gz"), *tmp_path.glob("*.whl"))),
    )
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 2


def test_the_wheel_says_what_it_bundles_and_what_it_needs(wheel: Path) -> None:
    (path,) = wheel.glob("via_state-*.dist-info/sboms/*.cdx.json")
    bill = json.loads(path.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    ours = bill["metadata"]["component"]
    assert (ours["name"], ours["version"]) == (PROJECT["project"]["name"], PROJECT["project"]["version"])
    parts = {one["name"]: one for one in bill["components"]}
    scripts = [str(one.relative_to(wheel)) for one in (wheel / "via_state/static").rglob("via-*.js")]
    bundled = {name: one for name, one in parts.items() if one["type"] == "file"}
    assert set(bundled) == set(scripts)
    for name, one in bundled.items():
        assert one["hashes"] == [
            {"alg": "SHA-256", "content": hashlib.sha256((wheel / name).read_bytes()).hexdigest()}
        ]
    assert {one for one in parts if one not in bundled} == {
        Requirement(one).name for one in PROJECT["project"]["dependencies"]
    }
    (graph,) = bill["dependencies"]
    assert set(graph["dependsOn"]) == {one["bom-ref"] for one in bill["components"]}


def test_the_client_script_bundles_nothing_of_others() -> None:
    for source in (ROOT / "client").glob("*.js"):
        assert re.findall(r"""from\s+["'](?!\./)""", source.read_text()) == [], source.name


def test_each_file_says_who_holds_its_rights_and_under_which_licence() -> None:
    said = run("reuse", "lint")
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("lock", "groups"), [("demo", ("build", "servers")), ("dev", ("build", "servers", "docs", "dev"))]
)
def test_the_lock_has_every_package_that_the_project_names_with_its_hashes(
    lock: str, groups: tuple[str, ...]
) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert not re.search(r"://|^-", text, re.MULTILINE), "no index and no address"
    pinned = defaultdict(list)
    for name, version, rest in re.findall(r"^([\w.-]+)==([^ ;]+)(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL):
        assert "--hash=sha256:" in rest, name
        pinned[canonicalize_name(name)].append(version)
    meant = [*PROJECT["project"]["dependencies"]]
    (everything,) = (Requirement(one).extras for one in PROJECT["project"]["optional-dependencies"]["all"])
    for name, extra in PROJECT["project"]["optional-dependencies"].items():
        meant += extra if name in everything else []
    for group in groups:
        meant += PROJECT["dependency-groups"][group]
    for one in map(Requirement, meant):
        versions = pinned[canonicalize_name(one.name)]
        assert versions, f"make lock: {one}"
        assert all(one.specifier.contains(version) for version in versions), f"make lock: {one}"
