"""Draws the diagrams of the documentation: each .dot file here becomes an .svg, which names the digest of its source.

Needs Graphviz's ``dot``. The drawings are committed; ``tests/test_docs.py`` holds that none is older than its source.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def digest_of(source: Path) -> str:
    """The digest of a source file, which its drawing names."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def main() -> None:
    if shutil.which("dot") is None:
        sys.exit("There is no dot. Install Graphviz (Debian and Ubuntu: apt-get install graphviz).")
    for source in sorted(FOLDER.glob("*.dot")):
        drawn = subprocess.run(["dot", "-Tsvg", source], check=True, capture_output=True, text=True).stdout
        drawing = source.with_suffix(".svg")
        drawing.write_text(drawn.replace("<svg ", f"<!-- source: {digest_of(source)} -->\n<svg ", 1))


if __name__ == "__main__":
    main()
