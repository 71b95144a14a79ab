"""What stands for the project's code in a manifest: hashes that change where its structure does, in every Python alike."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

import msgspec

from via_state.core.event_types import EventType
from via_state.core.manifest import Manifest, short_hash
from via_state.core.values import ValueCodec

#: Parts of a syntax tree that do not say what code does.
_SILENT = ("ctx", "kind", "type_comment", "annotation", "returns", "type_params")


def manifest_of(
    version: int, codec: ValueCodec[Any], zero: object, events: Iterable[EventType], retired: Iterable[str]
) -> Manifest:
    """The manifest of a declaration."""
    folds = {name: fold_hash(one.event.fold) for one in events for name in (one.name, *one.aliases)}
    return Manifest(version, type_hash(codec.type), codec.digest(zero), folds, sorted(retired))


def fold_hash(function: Callable[..., Any]) -> str:
    """Of a function's code without its comments, docstring, layout and annotations. What it calls is not seen."""
    function = inspect.unwrap(function)
    try:
        # Indented, as it stands in its class; the first line makes that a program.
        tree = ast.parse("if True:\n" + _indented(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        # No source (compiled, or made at run time): the bytecode, which another Python may make differently.
        code = getattr(function, "__code__", None)
        shape: Any = getattr(function, "__qualname__", repr(type(function))) if code is None else _bytecode(code)
    else:
        shape = _syntax(tree)
    return short_hash(repr(shape).encode())


def _indented(source: str) -> str:
    return source if source[:1].isspace() else "".join(f" {line}" for line in source.splitlines(keepends=True))


def _syntax(node: Any) -> Any:
    if isinstance(node, list):
        return [_syntax(one) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    parts: list[Any] = [type(node).__name__]
    fields = dict(ast.iter_fields(node))
    if (
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and ast.get_docstring(node) is not None
    ):
        fields["body"] = fields["body"][1:]
    if isinstance(node, ast.JoinedStr):  # some Pythons put empty texts between its parts
        fields["values"] = [one for one in node.values if not (isinstance(one, ast.Constant) and one.value == "")]
    for name, value in fields.items():
        if value is not None and value != [] and name not in _SILENT:
            parts.append((name, _syntax(value)))
    return parts


def _bytecode(code: CodeType) -> Any:
    constants = [_bytecode(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, constants]


def type_hash(value_type: Any) -> str:
    """Of a type's structure: names and types of fields, not the names of classes."""
    return short_hash(repr(_shape(msgspec.inspect.type_info(value_type), ())).encode())


def _shape(node: Any, inside: tuple[Any, ...]) -> Any:
    if isinstance(node, msgspec.inspect.Metadata):
        return _shape(node.type, inside)
    if isinstance(node, msgspec.inspect.EnumType):
        return ["enum", sorted(repr(member.value) for member in node.cls)]
    if isinstance(node, msgspec.inspect.Field):
        return [node.encode_name, node.required, _shape(node.type, inside)]
    if isinstance(node, tuple):
        return [_shape(one, inside) for one in node]
    if not isinstance(node, msgspec.inspect.Type):
        return repr(node)
    cls = getattr(node, "cls", None)
    if cls is not None and cls in inside:
        return ["again", len(inside) - inside.index(cls)]
    deeper = inside if cls is None else (*inside, cls)
    values = (getattr(node, name) for name in node.__struct_fields__ if name != "cls")
    # What is not set is left out: a later msgspec may know more that can be.
    parts = [_shape(value, deeper) for value in values if value is not None and value is not False]
    if isinstance(node, msgspec.inspect.UnionType):
        parts = [sorted(parts[0], key=repr)]
    return [type(node).__name__, *parts]
