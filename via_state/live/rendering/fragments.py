"""Fragments: the templates of live blocks, each with the function that says what it shows."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction

from via_state.core.text import named
from via_state.declarations.problems import Problem, problem_of
from via_state.declarations.registry import registry
from via_state.exceptions import DeclarationError, FragmentUnknown
from via_state.live.protocol.content import Gone
from via_state.live.protocol.node import NodeSpec, Scalar
from via_state.live.rendering.arguments import MOST, Argument, parameters_of, size_of
from via_state.live.visitors.tickets import MOST_PATH

F = TypeVar("F", bound=Callable[..., Any])
#: The argument that says of which page it is, with ``by_page``.
PAGE = "@page"


class Fragment:
    """A template and the function that makes its context."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        shared: bool,
        allow: Callable[..., Any] | None,
        by_page: bool,
    ) -> None:
        self.name, self.function = name, function
        self.shared, self.allow, self.by_page = shared, allow, by_page
        self.is_async = iscoroutinefunction(function)

    def __str__(self) -> str:
        return f"The fragment {self.name!r}"

    @cached_property
    def parameters(self) -> Mapping[str, Argument]:
        """What its tag may give. Raises `DeclarationError`."""
        return parameters_of(self.function, self.shared, self._problem)

    def _problem(self, message: str, hint: str) -> DeclarationError:
        return Problem("E042", message, hint, str(self)).error()

    def problem(self) -> Problem | None:
        """What is wrong with its function, or None."""
        try:
            _ = self.parameters
        except DeclarationError as error:
            return problem_of(error)
        return None

    def spec(self, given: Mapping[str, object], page: str = "") -> NodeSpec:
        """The node that a tag means. ``page``: path and query, which count with ``by_page``. Raises `DeclarationError`."""
        arguments: dict[str, Scalar] = {}
        for name, value in given.items():
            if (argument := self.parameters.get(name)) is None:
                known = ", ".join(self.parameters) or "none"
                raise DeclarationError(f"{self} has no argument {name!r}. It has: {known}.")
            try:
                arguments[name] = argument.kind.write(argument.kind.read(value))
            except (ValueError, TypeError):
                raise DeclarationError(
                    f"{self}: the argument {name} is {named(value)}, which can't be read as {argument.type.__name__}."
                ) from None
        if missing := [name for name, one in self.parameters.items() if one.required and name not in arguments]:
            raise DeclarationError(f"{self}: the argument {missing[0]!r} is missing.")
        if size_of(arguments) > MOST:
            raise DeclarationError(
                f"{self}: its arguments take more than {MOST} bytes. Give a primary key instead."
            )
        if self.by_page:
            arguments[PAGE] = page[:MOST_PATH]
        return NodeSpec.of("block", self.name, arguments, "all" if self.shared else "visitor")

    def values(self, spec: NodeSpec) -> dict[str, Any]:
        """The arguments of the function. Raises `Gone` for a spec that it does not fit: of a page that older code made."""
        arguments = dict(spec.arguments)
        page = arguments.pop(PAGE, None)
        audience = "all" if self.shared else "visitor"
        fits = audience == spec.audience and (page is not None) == self.by_page
        try:
            known = self.parameters
            values = {name: known[name].kind.read(value) for name, value in arguments.items()}
        except (ValueError, TypeError, KeyError) as error:
            raise Gone("missing") from error
        if not fits or any(one.required and name not in values for name, one in known.items()):
            raise Gone("missing")
        return values


class Fragments:
    """What was declared, by the name of the template."""

    def __init__(self) -> None:
        self._known: dict[str, Fragment] = {}

    def add(self, fragment: Fragment) -> None:
        """Raises `DeclarationError` where another function has the template. One of a reloaded module replaces itself."""
        before, function = self._known.get(fragment.name), fragment.function
        if before is not None:
            was = before.function
            if (was.__module__, was.__qualname__) != (function.__module__, function.__qualname__):
                raise DeclarationError(
                    f"{fragment} is declared twice, by {was.__module__}.{was.__qualname__} and {function.__module__}.{function.__qualname__}. "
                    "Give one of them a template of its own."
                )
        self._known[fragment.name] = fragment
        registry.note(f"{fragment}", function.__module__)

    def get(self, name: str) -> Fragment:
        """Raises `FragmentUnknown`."""
        if (found := self._known.get(name)) is None:
            near = difflib.get_close_matches(name, self._known, n=1)
            hint = (
                f"Did you mean {near[0]!r}?"
                if near
                else "Decorate a function with @live.fragment in the state.py of an app."
            )
            raise FragmentUnknown(f"There is no fragment {name!r:.100}. {hint}")
        return found

    def __iter__(self) -> Iterator[Fragment]:
        return iter(list(self._known.values()))

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Within the block nothing is declared, and what is declared in it is forgotten after. For tests."""
        before, self._known = self._known, {}
        try:
            yield
        finally:
            self._known = before


fragments = Fragments()


def fragment(
    template: str, *, shared: bool = False, allow: Callable[..., Any] | None = None, by_page: bool = False
) -> Callable[[F], F]:
    """Decorate the function that gives the context of a live block: a dict. It may be async.

    It gets the `Visitor` and the arguments of ``{% via_live "chat/_room.html" room=7 %}``, by their names, each annotated as int, str,
    bool, UUID or date. It runs at every render: raise ``PermissionDenied`` or ``Http404`` there, and the block goes. ``shared=True``: it gets no
    visitor, and one render is for all who use the same language and time zone. ``allow(user, **arguments)`` says who may see it, and is asked again
    every ``LIVE_RECHECK`` seconds. ``by_page=True``: the visitor has the path and the query of the page, and each page is rendered by itself.
    """

    def declare(function: F) -> F:
        fragments.add(Fragment(template, function, shared=shared, allow=allow, by_page=by_page))
        return function

    return declare
