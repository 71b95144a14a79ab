"""``{% load via_state %}``: live texts, attributes and blocks. What they do is in `via_state.live.rendering.tags`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import template
from django.http import HttpRequest
from django.template import Context, Node, TemplateSyntaxError
from django.template.base import FilterExpression, Parser, Token, token_kwargs
from django.utils.safestring import SafeString

from via_state.live.rendering import rows, scripts, tags
from via_state.live.serving import presences

register = template.Library()
register.tag("via_for", rows.parse_rows)
register.filter("state", tags.state_of)


def request_of(context: Context) -> HttpRequest | None:
    """The request that a template is rendered with."""
    request = getattr(context, "request", None)
    return context.get("request") if request is None and "request" in context else request


class TagNode(Node):
    """A tag with one argument, options, words, and arguments by name, which are those of what it shows."""

    def __init__(
        self,
        name: str,
        function: Callable[..., SafeString],
        source: FilterExpression,
        named: dict[str, FilterExpression],
        options: frozenset[str],
        words: frozenset[str],
    ) -> None:
        self.name, self.function, self.source = name, function, source
        self.named, self.options, self.words = named, options, words

    def render(self, context: Context) -> SafeString:
        """The markup."""
        values = {name: one.resolve(context) for name, one in self.named.items()}
        options = {name: values.pop(name) for name in self.options if name in values}
        words = dict.fromkeys(self.words, True)
        return self.function(request_of(context), self.source.resolve(context), values, **options, **words)


def _tag(
    name: str, function: Callable[..., SafeString], options: str, words: str = "", required: str = ""
) -> None:
    def parse(parser: Parser, token: Token) -> TagNode:
        _, *bits = token.split_contents()
        said = frozenset(bit for bit in bits[1:] if bit in words.split())
        left = [bit for bit in bits[1:] if bit not in said]
        named = token_kwargs(left, parser)
        missing = [one for one in required.split() if one not in named]
        if not bits or left or missing or "=" in bits[0].split('"')[0].split("'")[0]:
            usage = " ".join(f"{one}=…" for one in (required or options).split())
            raise TemplateSyntaxError(f"Write {{% {name} what room=room.pk {usage} {words}".strip() + " %}.")
        return TagNode(name, function, parser.compile_filter(bits[0]), named, frozenset(options.split()), said)

    register.tag(name, parse)


_tag("via_text", tags.text, "tag filter prefix suffix")
_tag("via_attr", tags.attribute, "to filter prefix suffix", required="to")
_tag("via_live", tags.block, "tag", "shared")
_tag("via_presence", presences.presence, "")


@register.simple_tag(takes_context=True)
def via_scripts(context: Context) -> SafeString:
    """The client script."""
    return scripts.scripts(context, request_of(context))


@register.simple_tag(takes_context=True)
def via_validate(context: Context) -> SafeString:
    """The script of forms that say what is wrong while they are filled in."""
    return scripts.validation(context, request_of(context))


@register.simple_tag(takes_context=True)
def via_mine(context: Context, owner: Any) -> SafeString:
    """An attribute of what is seen by one user alone, given as the user or its primary key."""
    return scripts.mine(request_of(context), owner)


@register.simple_tag(takes_context=True)
def via_group(context: Context, name: str) -> SafeString:
    """The page is in this group of broadcasts."""
    return scripts.group(request_of(context), name)
