"""What stands for the code of a fragment: its function's and its templates'. Of other code a block is made again."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from django.template import TemplateDoesNotExist
from django.template.loader_tags import ExtendsNode, IncludeNode

from via_state.declarations.fingerprints import fold_hash
from via_state.live.rendering.blocks import template_of
from via_state.live.rendering.fragments import Fragment

_MOST_TEMPLATES = 100


class _Code(NamedTuple):
    template: Any
    function: Any
    digest: str
    hides: bool


_known: dict[str, _Code] = {}


def digest_of(fragment: Fragment) -> str:
    """Twelve characters. Templates that it extends and includes count where they are named in it."""
    return _code(fragment).digest


def hides_from_others(fragment: Fragment) -> bool:
    """Whether its template has ``via_mine``."""
    return _code(fragment).hides


def _code(fragment: Fragment) -> _Code:
    template = template_of(fragment)
    known = _known.get(fragment.name)
    # Loaders that look at the files give another object when one has changed.
    if known is None or known.template is not template or known.function is not fragment.function:
        sources = list(_sources(template))
        whole = "\0".join([fold_hash(fragment.function), *sources])
        digest = blake2b(whole.encode("utf-8", "replace"), digest_size=6).hexdigest()
        hides = any("via_mine" in one for one in sources)
        known = _known[fragment.name] = _Code(template, fragment.function, digest, hides)
    return known


def _sources(template: Any) -> Iterator[str]:
    waiting: list[Any] = [template]
    seen: set[str] = set()
    while waiting and len(seen) < _MOST_TEMPLATES:
        one = waiting.pop()
        if one.source in seen:
            continue
        seen.add(one.source)
        yield one.source
        nodes: list[Any] = one.nodelist.get_nodes_by_type((ExtendsNode, IncludeNode))
        names: list[Any] = [node.parent_name if isinstance(node, ExtendsNode) else node.template for node in nodes]
        for name in names:
            if isinstance(getattr(name, "var", None), str) and not name.filters:
                try:
                    waiting.append(one.engine.get_template(name.var))
                except TemplateDoesNotExist:
                    continue
