"""A text or an attribute that shows one piece of state."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from django.template import Engine
from django.template.base import FilterExpression
from django.utils.formats import localize
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]

from via_state.core.visibility import Shown
from via_state.declarations.definition import Definition
from via_state.declarations.presence import PresenceDefinition, here
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError, InvalidKey
from via_state.live.protocol.content import Content, Gone, Watched, place
from via_state.live.protocol.delta import plain
from via_state.live.protocol.node import Audience, NodeSpec
from via_state.live.visitors.naming import Names, spec_for
from via_state.pod.default import current_pod

#: Who sees the same, by the scope of the state.
AUDIENCES: dict[str, Audience] = {"app": "all", "session": "session", "user": "user"}
#: The filter of a text that says nothing: its tabs are on the list of who is here.
HERE = "@here"
#: The argument that says which attribute it is.
TO = "@to"


class Text(NamedTuple):
    """``watched`` is None where the visitor has no session or user that could have such state: its initial value shows."""

    spec: NodeSpec
    definition: Definition[Any]
    name: str
    watched: Watched | None

    @classmethod
    def of(cls, spec: NodeSpec, names: Names) -> Text:
        """What a spec says, for one visitor. Raises `Gone` where this code declares nothing that it fits."""
        definition: Definition[Any] | None = registry.find(spec.name)
        if spec.filter == HERE:
            if not isinstance(definition, PresenceDefinition):
                raise Gone("missing")
            return cls(spec, definition, "", None)
        # Of another scope than it was: who may see it is another question now.
        if definition is None or AUDIENCES[definition.scope.name] != spec.audience:
            raise Gone("missing")
        try:
            key, stored = key_of(definition, spec), spec_for(definition)
        except (InvalidKey, DeclarationError) as error:
            raise Gone("missing") from error
        if spec.audience == "all":
            return cls(spec, definition, key, Watched(key, stored))
        scope = definition.scope.name
        home = names.home(scope)
        watched = None if home is None else Watched(f"{home}.{key}", stored)
        return cls(spec, definition, f"~{scope}.{key}", watched)

    def content(self, shown: Shown[Any]) -> Content:
        """What it shows."""
        if (watched := self.watched) is None:
            return Content(self.body(shown.value), {}, {})
        at = {self.name: place(watched.spec, shown)}
        return Content(self.body(shown.value), at, {self.name: watched}, shown.halted is not None)

    def initial(self) -> Content:
        """What it shows to somebody who has no such state."""
        return self.content(Shown(self.definition.spec().initial()))

    def body(self, value: Any) -> str | None:
        """The text, in the language and time zone that are active; None for an attribute that is absent."""
        spec = self.spec
        if spec.filter == HERE:
            return ""
        if isinstance(self.definition, PresenceDefinition) and self.watched is not None:
            value = len(here(current_pod(), self.watched.key, self.definition.spec(), value))
        attribute = dict(spec.arguments).get(TO, "text") != "text"
        if value is None or (attribute and value is False):
            return None if attribute else spec.prefix + spec.suffix
        if spec.filter:
            value = filtered(value, spec.filter)
        if attribute and value is True:
            value = ""
        return plain(f"{spec.prefix}{localize(template_localtime(value))!s}{spec.suffix}")


def key_of(definition: Definition[Any], spec: NodeSpec) -> str:
    """The key, without its owner's part. Raises `InvalidKey` for other parameters than it has."""
    parameters = {name: value for name, value in spec.arguments if name != TO}
    template = definition.template()
    return template.fill(parameters) if template.family or parameters else template.text


def filtered(value: Any, name: str) -> Any:
    """The value after a filter. Raises `LookupError` where no library has it."""
    function, argument = filter_of(name)
    options = {"autoescape": False} if getattr(function, "needs_autoescape", False) else {}
    if getattr(function, "expects_localtime", False):
        value = template_localtime(value)
    return function(value, *argument, **options)


@lru_cache(maxsize=256)
def filter_of(name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A filter as ``"intcomma"``, ``"humanize.intcomma"`` or ``"floatformat:2"``, and its argument.

    Looked for in what every template has, then in the libraries of the project.
    """
    name, colon, text = name.partition(":")
    library, _, short = name.rpartition(".")
    engine = Engine.get_default()
    places = [engine.template_libraries[library]] if library in engine.template_libraries else []
    if not library:
        places = [*engine.template_builtins, *engine.template_libraries.values()]
    for one in places:
        if short in one.filters:
            function = one.filters[short]
            argument = (_argument(text),) if colon else ()
            FilterExpression.args_check(short, function, [(False, one) for one in argument])
            return function, argument
    raise LookupError(f"No template library has a filter {name!r}.")


def _argument(text: str) -> str | int:
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        return text[1:-1]
    return int(text) if text.lstrip("-").isdigit() else text
