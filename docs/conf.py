"""How Sphinx builds the site (``make docs``). No network is asked: the inventories of what we link to are in inventories/."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.intersphinx import resolve_reference_any_inventory
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "via_state",
        "via_state.backplanes.postgres",
    ]
)
django.setup()

import via_state  # noqa: E402
from via_state import live  # noqa: E402

vars(live).update({name: getattr(live, name) for name in live.__all__})  # which it imports at their first use

project = "via_state"
author = "The via_state developers"
copyright = author
release = version = via_state.__version__
html_title = f"via_state {release}"
# Set by versions.py: this site's name among those that stand beside it.
shown_version = os.environ.get("VIA_DOCS_VERSION", release)
html_context = {"versions": os.environ.get("VIA_DOCS_VERSIONS", "").split(), "shown_version": shown_version}
if shown_version == "main":
    html_title = f"via_state {release}, not released"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton", "docs.llms"]
nitpicky = True
suppress_warnings = ["ref.python"]  # a name of several classes, which link_ours would find by its module

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_block", "attrs_inline"]

default_role = "py:obj"  # what stands in single backticks in a docstring
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "inventories/python.inv"),
    "django": ("https://docs.djangoproject.com/en/stable/", "inventories/django.inv"),
}

html_theme = "furo"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "versions.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "


def link_ours(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    """Find a name by its end. Code names the module that defines it, users the one that exports it.

    What a signature names and no page documents stays text: type variables, the insides of others. What stands in backticks
    in a docstring must be found, unless it is a file or a command.
    """
    if node.get("refdomain") != "py":
        return None
    target, source = str(node["reftarget"]), str(node["refdoc"])
    if (
        "/" in target
        or " " in target
        or (ROOT / str(node.get("py:module", "")).replace(".", "/") / f"{target}.py").exists()
    ):
        return text  # a file, a command, or a module beside it, which no page is about
    objects = env.domains.python_domain.objects
    for end in (target, target.rpartition(".")[2]) if node["reftype"] == "class" else (target,):
        for name in sorted(objects, key=len):
            if f".{name}".endswith(f".{end}"):
                found = objects[name]
                uri = app.builder.get_relative_uri(source, found.docname)
                return nodes.reference("", "", text, internal=True, refuri=f"{uri}#{found.node_id}")
    if node["reftype"] == "class":
        node["reftarget"] = {
            "django.http.request.HttpRequest": "django.http.HttpRequest",
            "django.http.response.HttpResponse": "django.http.HttpResponse",
        }.get(target, target)
        return resolve_reference_any_inventory(env, False, node, text) or text
    return None


def anchor_checks(app: Sphinx, doctree: nodes.document) -> None:
    """Give the id of each system check an anchor in the reference: hints end with its address."""
    if app.env.docname == "reference":
        for code in doctree.findall(nodes.literal):
            if re.fullmatch(r"via_state\.[EW]\d+", code.astext()) and isinstance(code.parent.parent, nodes.entry):
                code["ids"].append(code.astext())


def break_names(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """A browser may break a long name in a narrow column after a dot, a stroke or an underscore."""
    context["body"] = re.sub(
        r'(?<=<span class="pre">)[^<]{16,}(?=</span>)',
        lambda name: re.sub(r"(?<=[/._])(?=\w)", "<wbr>", name[0]),
        context.get("body", ""),
    )


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", link_ours, priority=400)
    app.connect("html-page-context", break_names)
    app.connect("doctree-read", anchor_checks)
    # A type checker needs the overloads; people read what the declarations take in their docstring.
    for name in ("app", "session", "user", "event_log"):
        analyzer = ModuleAnalyzer.for_module(f"via_state.declarations.{name}")
        analyzer.analyze()
        analyzer.overloads.clear()
