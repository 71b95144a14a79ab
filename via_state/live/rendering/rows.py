"""``{% via_for %}``: a loop that makes again only what changed since the block's last render."""

from __future__ import annotations

from typing import Any

from django.template import Context, Node, NodeList, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token
from django.template.defaulttags import CycleNode, IfChangedNode, ResetCycleNode
from django.utils import timezone, translation
from django.utils.safestring import SafeString, mark_safe

from via_state.live.rendering.contexts import CSRF, personal
from via_state.live.rendering.memo import Rows
from via_state.live.rendering.painting import painting
from via_state.live.visitors.tickets import issue_time


class RowContext(Context):
    """Knows the row and what was named, and refuses everything else: a row that is remembered would not follow it.

    It notes what was asked for, too: ``{% if %}`` hides errors.
    """

    def __init__(self, outer: Context, known: dict[str, Any]) -> None:
        super().__init__(known, autoescape=outer.autoescape, use_l10n=outer.use_l10n, use_tz=outer.use_tz)
        self.template, self.render_context = outer.template, outer.render_context
        if hasattr(outer, "request"):
            self.request = outer.request
        self.unknown: list[str] = []

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            self._refuse(key)

    def get(self, key: Any, otherwise: Any = None) -> Any:
        """As a context's, but for what is not there."""
        if key not in self:
            self._refuse(key)
        return super().get(key, otherwise)

    def _refuse(self, key: str) -> None:
        self.unknown.append(key)
        if key == "csrf_token":
            raise personal("this block", "the variable 'csrf_token'")
        raise self.error()

    def error(self) -> TemplateSyntaxError:
        """What is wrong with the body."""
        name = self.unknown[0]
        hint = (
            "Have each row know its number" if name == "forloop" else f"Write 'with {name}' at the end of the tag"
        )
        return TemplateSyntaxError(
            f"The body of via_for uses {name!r}, and rows are remembered without it. {hint}, or use a plain for."
        )


class RowsNode(Node):
    """The loop."""

    child_nodelists = ("nodelist", "empty")

    def __init__(
        self, row: str, sequence: FilterExpression, used: list[str], nodelist: NodeList, empty: NodeList
    ) -> None:
        self.row, self.sequence, self.used = row, sequence, used
        self.nodelist, self.empty = nodelist, empty

    def render(self, context: Context) -> SafeString:
        """The rows, each as it was made before where it is the very same object, or one that says exactly the same."""
        found = self.sequence.resolve(context, ignore_failures=True)
        rows = [] if found is None else list(found)
        if not rows:
            return self.empty.render(context)
        paint = painting.get()
        values = tuple(context[name] for name in self.used)
        # Tokens in rows are renewed in time, and a template may be included where it is rendered in another way.
        way = (context.autoescape, context.use_l10n, context.use_tz, translation.get_language())
        used = (*values, *way, timezone.get_current_timezone(), issue_time())
        known = Rows({}) if paint is None or paint.inline else paint.memo.rows(self, used)
        made: dict[int, tuple[Any, str]] = {}
        parts: list[str] = []
        missing: list[int] = []
        before = known.rows
        for row in rows:
            # Its object is kept with it, so no other one has its id.
            key = id(row)
            found = before.get(key)
            if found is None:
                missing.append(len(parts))
                parts.append("")
            else:
                made[key] = found
                parts.append(found[1])
        if missing:
            alike = known.alike([rows[index] for index in missing], before.keys() - made.keys())
            inner = RowContext(context, self._base(context, values))
            for index in missing:
                row = rows[index]
                found = made.get(id(row))
                if found is None:
                    found = made[id(row)] = (row, alike.get(id(row)) or self._made(inner, row))
                parts[index] = found[1]
        html = "".join(parts)
        if paint is not None and not paint.inline:
            paint.memo.keep(self, Rows(made, used, len(html)))
        return mark_safe(html)

    def _made(self, inner: RowContext, row: Any) -> str:
        with inner.push(**{self.row: row}):
            html = str(self.nodelist.render(inner))
        if inner.unknown:
            raise inner.error()
        return html

    def _base(self, context: Context, values: tuple[Any, ...]) -> dict[str, Any]:
        base = dict(zip(self.used, values, strict=True))
        paint = painting.get()
        if paint is None:
            base.setdefault("csrf_token", context.get("csrf_token"))
        elif not paint.shared:
            base.setdefault("csrf_token", CSRF)
        return base


def parse_rows(parser: Parser, token: Token) -> RowsNode:
    """``{% via_for order in orders with currency %}…{% empty %}…{% endvia_for %}``"""
    words = token.split_contents()
    if len(words) < 4 or words[2] != "in" or (len(words) > 4 and (words[4] != "with" or len(words) == 5)):
        raise TemplateSyntaxError("Write {% via_for row in rows %}, or {% via_for row in rows with name other %}.")
    row, used = words[1], words[5:]
    for name in (row, *used):
        if not name.isidentifier():
            raise TemplateSyntaxError(f"via_for: {name!r} is not the name of a variable.")
    sequence = parser.compile_filter(words[3])
    nodelist, empty = parser.parse(("empty", "endvia_for")), NodeList()
    if parser.next_token().contents == "empty":
        empty = parser.parse(("endvia_for",))
        parser.delete_first_token()
    kinds: Any = (CycleNode, IfChangedNode, ResetCycleNode)
    if order := nodelist.get_nodes_by_type(kinds):
        kind = type(order[0]).__name__.removesuffix("Node").lower()
        raise TemplateSyntaxError(
            f"The body of via_for has {{% {kind} %}}, which depends on the rows before. Use CSS, or a plain for."
        )
    return RowsNode(row, sequence, used, nodelist, empty)
