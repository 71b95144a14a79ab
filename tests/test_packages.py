"""What is built for others holds what is meant to be in it, whatever else lies in the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRAY = (
    ".env", "dump.sql", "notes.md", "db.sqlite3", ".demo/pgpass", "testproject/key", "tests/recorded.json", "via_state/.env", "via_state/dump.json",
    "via_state/notes.txt", "via_state/models.py.orig", "via_state/backplanes/credentials", "via_state/static/via_state/.admin.css.swp",
)  # fmt: skip


def test_neither_package_holds_what_lies_about(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "via_state", checkout / "via_state", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "hatch_build.py"):
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
        installed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert installed == {name for name in meant if name.startswith("via_state/")}
