"""``make docs-versions``: the site of each released minor version beside that of the working tree, each with a switch to the others.

Versions are tags: v0.1.0, v0.1.1. Of a minor version its newest patch is built, from what git has of it; no network is asked.
"""

from __future__ import annotations

import html
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
#: The name of the working tree among the versions.
MAIN = "main"
Build = Callable[[Path, Path, str, list[str]], None]


def released(tags: Iterable[str]) -> list[str]:
    """Of each minor version the newest patch, the newest first."""
    newest: dict[tuple[int, int], Version] = {}
    for tag in tags:
        try:
            version = Version(tag.removeprefix("v"))
        except InvalidVersion:
            continue
        if not version.is_prerelease:
            minor = (version.major, version.minor)
            newest[minor] = max(version, newest.get(minor, version))
    return [str(version) for version in sorted(newest.values(), reverse=True)]


def sphinx(checkout: Path, out: Path, name: str, versions: list[str]) -> None:
    """Build the site of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "VIA_DOCS_VERSION": name, "VIA_DOCS_VERSIONS": " ".join(versions)}  # fmt: skip
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(out.with_name(f".{name}"))]
    subprocess.run([*command, str(checkout / "docs"), str(out)], check=True, env=environment, cwd=checkout)


def build_all(repository: Path, target: Path, build: Build = sphinx) -> list[str]:
    """Build all versions into folders of ``target``, whose index leads to the newest. Gives the names, the working tree first."""
    tags = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=repository, check=True, capture_output=True, text=True
    )
    versions = [MAIN, *released(tags.stdout.split())]
    target.mkdir(parents=True, exist_ok=True)
    build(repository, target / MAIN, MAIN, versions)
    for version in versions[1:]:
        with tempfile.TemporaryDirectory(prefix="via-state-docs-") as folder:
            archive = subprocess.run(
                ["git", "archive", f"v{version}"], cwd=repository, check=True, capture_output=True
            )
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
            build(Path(folder), target / version, version, versions)
    first = html.escape(f"{versions[1] if len(versions) > 1 else MAIN}/index.html")
    page = f'<!doctype html><meta charset="utf-8"><title>via_state</title><meta http-equiv="refresh" content="0; url={first}"><a href="{first}">via_state</a>\n'
    (target / "index.html").write_text(page)
    return versions


if __name__ == "__main__":
    built = build_all(ROOT, ROOT / "build" / "versions")
    print(f"In build/versions: {', '.join(built)}")  # noqa: T201
