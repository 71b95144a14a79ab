"""The stored form of a folded value."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from via_state.core.fidelity import difference, plain
from via_state.core.manifest import short_hash
from via_state.core.nesting import MAX_VALUE_LEVELS, is_deeper, too_deep
from via_state.core.project_code import is_failure
from via_state.core.text import reason, shown_cause
from via_state.core.type_facts import may_be_deeper
from via_state.exceptions import ValueRefused

V = TypeVar("V")


class ValueCodec(Generic[V]):
    """Encodes and decodes the folded value of one declaration as JSON; ``value_type`` is anything msgspec decodes."""

    def __init__(self, value_type: Any) -> None:
        self.type = value_type
        self._may_be_deep = may_be_deeper(value_type, MAX_VALUE_LEVELS)
        self._encoder = msgspec.json.Encoder(enc_hook=plain)
        self._sorted = msgspec.json.Encoder(enc_hook=plain, order="deterministic")
        self._decoder: msgspec.json.Decoder[V] = msgspec.json.Decoder(value_type)

    def encode(self, value: V) -> bytes:
        """Raises `ValueRefused`; what it returns is proven to decode to the same value, of the same types."""
        cause: BaseException | None = None
        try:
            data = self._encoder.encode(value)
            deep = self._may_be_deep and is_deeper(data, MAX_VALUE_LEVELS)
            found = (
                too_deep(MAX_VALUE_LEVELS) if deep else difference(value, self._decoder.decode(data), strict=True)
            )
        except MemoryError:
            raise
        except RecursionError as error:
            data, found, cause = b"", too_deep(MAX_VALUE_LEVELS), error
        except BaseException as error:
            # The project's code takes part (__post_init__, __eq__): whatever it raises, there is no snapshot.
            if not is_failure(error):
                raise
            data, found, cause = b"", reason(error), error
        if found is not None:
            raise ValueRefused(
                f"the folded value can't be stored: {found}. Let the folds make what the declared type says, of builtins, "
                "dataclasses or msgspec Structs; or declare snapshot_interval=0"
            ) from shown_cause(cause)
        return data

    def digest(self, value: V) -> str:
        """The same for equal values in every process, whatever the order of their sets and dicts."""
        return short_hash(self._sorted.encode(value))

    def decode(self, data: bytes) -> V:
        """Raises `msgspec.MsgspecError`, or what the project's own classes raise."""
        return self._decoder.decode(data)

    def convert(self, value: object) -> V:
        """The value of what a migration returned: checked against the type. Raises as `decode` does."""
        return self._decoder.decode(self._encoder.encode(value))

    def plain(self, value: object) -> Any:
        """JSON builtins of a value: what a migration is given."""
        return msgspec.json.decode(self._encoder.encode(value))
