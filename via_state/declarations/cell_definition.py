"""The definition of a value that is replaced as a whole."""

from __future__ import annotations

from typing import Any, Self

from via_state.core.cells import CellCodec
from via_state.core.specs import CellSpec
from via_state.declarations.definition import Definition
from via_state.declarations.initial import MISSING, make_initial
from via_state.declarations.problems import Problem, refuse_bad_version
from via_state.declarations.scope import Scope
from via_state.declarations.value_types import refuse_undecodable
from via_state.exceptions import ValueRefused


class CellDefinition(Definition[CellSpec[Any]]):
    """``value_type`` is `MISSING` until the handle knows its subscript, in ``StateApp[int | None](default=None)``."""

    def __init__(
        self, kind: str, scope: Scope, key: str | None, value_type: Any, default: Any, version: int
    ) -> None:
        super().__init__(kind, scope, key)
        self.value_type = value_type
        self.default = default
        self.version = version

    def copy(self) -> Self:
        return type(self)(self.kind, self.scope, self.explicit_key, self.value_type, self.default, self.version)

    def _make_spec(self) -> CellSpec[Any]:
        if self.value_type is MISSING:
            raise Problem(
                "E005",
                "It has no value type.",
                f"Write {self.kind}(str), or {self.kind}[int | None](default=None).",
            ).error()
        refuse_bad_version(self.version)
        refuse_undecodable(self.value_type, f"{self.value_type!r}")
        initial = make_initial(self.value_type, self.default)
        codec: CellCodec[Any] = CellCodec(self.value_type, self.version)
        try:
            codec.encode(initial(), write_id="", writes=(), pause=0.0)
        except ValueRefused:
            raise Problem(
                "E007",
                f"Its initial value {initial()!r:.60} is not of the type {self.value_type!r}.",
                "Give a default= of the type.",
            ).error() from None
        return CellSpec(self.template().text, codec, initial, family=self.wire().family)

    def agreement(self) -> tuple[object, ...]:
        spec = self.built()
        return self.value_type, self.version, spec.initial()
