"""Looking into a document leniently: what is of another kind counts as absent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cupel.config.document import Array, Entry, Kind, Scalar, Table, Value

_FLOAT = re.compile(r"-?\d+\.\d+")


def entries(value: Value | None) -> tuple[Entry, ...]:
    return value.entries if isinstance(value, Table) else ()


def get(value: Value | None, *keys: str) -> Value | None:
    """The value below the keys, one after the other."""
    for key in keys:
        value = next((each.value for each in entries(value) if each.key.text == key), None)
    return value


def items(value: Value | None) -> tuple[Value, ...]:
    """The items of a list; a single value counts as one of itself."""
    if isinstance(value, Array):
        return value.items
    if value is None or (isinstance(value, Scalar) and value.kind is Kind.NULL):
        return ()
    return (value,)


def text(value: Value | None) -> str:
    """The text of a scalar as GitHub understands it: 3.10 without quotes is 3.1 there."""
    if not isinstance(value, Scalar) or value.kind is Kind.NULL:
        return ""
    if value.kind is Kind.NUMBER and _FLOAT.fullmatch(value.text):
        return value.text.rstrip("0").rstrip(".")
    if value.kind is Kind.BOOLEAN and value.text.lower() in ("true", "false"):
        return value.text.lower()
    return value.text


def pairs(value: Value | None) -> Iterator[tuple[str, Scalar]]:
    """The entries of a mapping to scalars."""
    for entry in entries(value):
        if isinstance(entry.value, Scalar):
            yield entry.key.text, entry.value
