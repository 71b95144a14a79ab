"""Writes llms.txt, the list of the site's pages for language models, and llms-full.txt, their text. An extension of Sphinx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx import addnodes
from sphinx.application import Sphinx

#: What a page includes instead of saying it.
ELSEWHERE = ("changes", "api/index")


def pages(app: Sphinx) -> Iterator[tuple[str, list[str]]]:
    """Each part of the first page's table of contents, with its pages."""
    for tree in app.env.get_doctree("index").findall(addnodes.toctree):
        yield str(tree["caption"]), ["index" if name == "self" else name for _, name in tree["entries"]]


def lead(text: str) -> str:
    """The first sentence of a page."""
    for paragraph in re.split(r"\n\s*\n", text):
        if re.match(r"[A-Z*]|`(?!``)", paragraph):
            said = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split())).replace("**", "")
            return re.split(r"(?<=\.) ", said)[0]
    return ""


def write(app: Sphinx, exception: Exception | None) -> None:
    """Called by Sphinx when it has built the pages."""
    if exception is not None or app.builder.name != "html":
        return
    listed = [
        f"# {app.config.project} {app.config.release}",
        f"> {lead(Path(app.srcdir, 'index.md').read_text())}",
    ]
    full = []
    for caption, names in pages(app):
        lines = [f"## {caption}\n"]
        for name in names:
            text = Path(app.srcdir, f"{name}.md").read_text()
            title = app.env.titles[name].astext()
            lines.append(f"- [{title}]({name}.html)" + (f": {said}" if (said := lead(text)) else ""))
            if name not in ELSEWHERE:
                full.append(
                    f"<!-- {name}.html -->\n{re.sub(r'^```{toctree}.*?^```$', '', text, flags=re.DOTALL | re.MULTILINE).strip()}"
                )
        listed.append("\n".join(lines))
    Path(app.outdir, "llms.txt").write_text("\n\n".join(listed).replace("\n\n\n", "\n\n") + "\n")
    Path(app.outdir, "llms-full.txt").write_text("\n\n".join(full) + "\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
