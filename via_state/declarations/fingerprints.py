"""What stands for the project's code in a manifest: hashes that change where its structure does, in every Python alike."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType
from typing import Any

import msgspec

from via_state.core.event_types import EventType
from via_state.core.manifest import Manifest, Reading, short_hash
from via_state.core.values import ValueCodec
from via_state.declarations.value_types import parts_of

#: Parts of a syntax tree that do not say what code does.
_SILENT = ("ctx", "kind", "type_comment", "annotation", "returns", "type_params")


def manifest_of(
    version: int, codec: ValueCodec[Any], initial: object, events: Iterable[EventType], retired: Iterable[str]
) -> Manifest:
    """The manifest of a declaration."""
    names = {name: one for one in events for name in (one.name, *one.aliases)}
    folds = {name: fold_hash(one.event.fold) for name, one in names.items()}
    readings = {name: reading_of(one) for name, one in names.items()}
    return Manifest(version, type_hash(codec.type), codec.digest(initial), folds, sorted(retired), readings)


def reading_of(event_type: EventType) -> Reading:
    """How the records of a type of event are read."""
    info: Any = msgspec.inspect.type_info(event_type.event)
    layout = [bool(getattr(info, name, False)) for name in ("array_like", "forbid_unknown_fields")]
    fields = {one.encode_name: short_hash(repr(_field(one)).encode()) for one in info.fields}
    rules = [
        event_type.version,
        [(step, fold_hash(function)) for step, function in sorted(event_type.upcasters.items())],
        layout,
        # In an array the place of a field is its name; and one more is an unknown one to code that forbids that.
        list(fields.items()) if any(layout) else [],
        [getattr(info, "tag_field", None), getattr(info, "tag", None)],
        [_validation(cls) for node in parts_of(info) if (cls := getattr(node, "cls", None)) is not None],
    ]
    required = [one.encode_name for one in info.fields if one.required]
    return Reading(short_hash(repr(rules).encode()), fields, sorted(required))


def _field(field: msgspec.inspect.Field) -> Any:
    default: Any = None
    if field.default is not msgspec.NODEFAULT:
        default = _constant(field.default)
    elif field.default_factory is not msgspec.NODEFAULT:
        default = _code(field.default_factory)
    return [field.required, default, _shape(field.type, ())]


def _validation(cls: type[Any]) -> Any:
    """What takes part in making an object, and may refuse a record or change what it says."""
    hooks = ("__post_init__", "__attrs_pre_init__", "__attrs_post_init__")
    code = [_code(getattr(cls, name)) for name in hooks if hasattr(cls, name)]
    attributes = getattr(cls, "__attrs_attrs__", ())
    return [code, [(one.name, _constant(one.validator)) for one in attributes if one.validator is not None]]


def _code(function: Any) -> str:
    return fold_hash(function) if isinstance(function, FunctionType) else _constant(function)


def _constant(value: Any) -> str:
    """Its text, without what is another one in each process."""
    if isinstance(value, FunctionType):
        return fold_hash(value)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


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
