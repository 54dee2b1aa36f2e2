"""Dataclass ↔ column values, derived once from each class's type hints.

A field becomes one column: an integer, a float, a boolean, text (enums too), or JSON for anything
with structure. Text is made storable on the way in (`storable`), in every store alike.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import operator
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from cupel.core.model import Row
from cupel.errors import Bug

R = TypeVar("R", bound=Row)
Convert = Callable[[Any], Any]
Kind = type[Any]
"""A row class. (`type[Row]` says it better, but a type variable bound to a union is not one.)"""

JSON_CACHE = 1024
"""How many decoded values a JSON column remembers: most rows say what others say."""

_KNOWN = 8192
"""How many rows of a class are remembered as decoded; past that, it begins anew."""

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Shape(enum.Enum):
    """What kind of column a field needs."""

    INTEGER = enum.auto()
    FLOAT = enum.auto()
    BOOLEAN = enum.auto()
    TEXT = enum.auto()
    JSON = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field as a column. `encode` makes the column's value, `decode` the field's."""

    name: str
    shape: Shape
    nullable: bool
    encode: Convert | None
    decode: Convert | None


def storable(text: str) -> str:
    """The text with what a database cannot keep replaced by U+FFFD: NUL and lone surrogates.

    PostgreSQL has no NUL in text, and UTF-8 has no surrogates. Refusing the row instead would let
    the output of a build stop the engine.
    """
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    clean = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if clean != text:  # each surrogate became three U+FFFD, one for each of its bytes
        clean = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return clean.replace("\0", "\ufffd")


class Codec(Generic[R]):
    """How rows of one class are read and written."""

    def __init__(self, kind: type[R]) -> None:
        hints = typing.get_type_hints(kind)
        self.kind = kind
        self.fields = tuple(_field(each.name, hints[each.name]) for each in _fields(kind))
        self.names = tuple(field.name for field in self.fields)
        self.by_name = {field.name: field for field in self.fields}
        self._slots = tuple(getattr(kind, name).__set__ for name in self.names)
        self._values = operator.attrgetter(*self.names)
        self._encoders = _converters(self.fields, "encode")
        self._decoders = _converters(self.fields, "decode")
        self._known: dict[int, tuple[Sequence[Any], R]] = {}
        self._cleaners = tuple(
            (name, clean) for name in self.names if (clean := _cleaner(hints[name])) is not None
        )

    def encode(self, row: R) -> list[Any]:
        """The values of the columns, in the order of `names`."""
        values = list(self._values(row))
        for index, convert in self._encoders:
            value = values[index]
            if value is not None:
                values[index] = convert(value)
        return values

    def decode(self, values: Sequence[Any]) -> R:
        """The row of these column values; JSON is taken as its text.

        Planning reads the same rows over and over and few of them change: the row last made for an
        id is given again while its columns are the same, which rows, being frozen, do not mind.
        """
        known = self._known.get(values[0])
        if known is not None and known[0] == values:
            return known[1]
        if len(self._known) >= _KNOWN:
            self._known.clear()
        row = self._decode(values)
        self._known[values[0]] = (values, row)
        return row

    def _decode(self, values: Sequence[Any]) -> R:
        # Through the slots: a frozen dataclass's own __init__ takes twice as long.
        row = object.__new__(self.kind)
        for put, value in zip(self._slots, values, strict=True):
            put(row, value)
        for index, convert in self._decoders:
            value = values[index]
            if value is not None:
                self._slots[index](row, convert(value))
        return row

    def clean(self, row: R) -> R:
        """The row as a database would give it back; the same object if nothing has to change."""
        changed: dict[str, Any] = {}
        for name, clean in self._cleaners:
            before = getattr(row, name)
            if before is not None and (after := clean(before)) is not before and after != before:
                changed[name] = after
        return dataclasses.replace(row, **changed) if changed else row

    def field(self, name: str) -> Field:
        """A field by its name. Raises `Bug` for one that the rows have not."""
        found = self.by_name.get(name)
        if found is None:
            raise Bug(f"{self.kind.__name__} rows have no {name!r}")
        return found

    def scalar(self, name: str) -> Field:
        """The field, which must be one that rows can be selected and ordered by."""
        field = self.by_name.get(name)
        if field is None or field.shape is Shape.JSON:
            raise Bug(f"{self.kind.__name__} rows cannot be selected by {name!r}")
        return field


def codec(kind: type[R]) -> Codec[R]:
    """The one codec of a row class. Raises `Bug` for what is not a row."""
    found = _CODECS.get(kind)
    if found is None:
        raise Bug(f"{kind.__name__} is not a row")
    return found


def kinds() -> tuple[Kind, ...]:
    """Every row class, in the order of the model."""
    return typing.get_args(Row)


def _fields(kind: Kind) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _converters(fields: tuple[Field, ...], which: str) -> tuple[tuple[int, Convert], ...]:
    pairs = ((index, getattr(field, which)) for index, field in enumerate(fields))
    return tuple((index, convert) for index, convert in pairs if convert is not None)


def _optional(hint: Any) -> tuple[Any, bool]:
    """A hint without its `| None`, and whether it had one."""
    if not isinstance(hint, types.UnionType):
        return hint, False
    rest = [part for part in typing.get_args(hint) if part is not types.NoneType]
    if len(rest) != 1:
        raise Bug(f"a row cannot hold {hint}")
    return rest[0], True


def _field(name: str, hint: Any) -> Field:
    inner, nullable = _optional(hint)
    shape, encode, decode = _column(inner)
    return Field(name, shape, nullable, encode, decode)


def _column(hint: Any) -> tuple[Shape, Convert | None, Convert | None]:
    if hint is bool:
        return Shape.BOOLEAN, None, bool
    if hint is int:
        return Shape.INTEGER, None, None
    if hint is float:
        return Shape.FLOAT, None, None
    if hint is str:
        return Shape.TEXT, storable, None
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return Shape.TEXT, str, _members(hint)
    plain, value = _to_plain(hint), _from_plain(hint)

    def encode(structure: Any) -> str:
        return _to_json(plain(structure))

    @functools.lru_cache(JSON_CACHE)
    def decode(text: str) -> Any:
        return value(json.loads(text))

    return Shape.JSON, encode, decode


def _members(kind: type[enum.StrEnum]) -> Convert:
    return {member.value: member for member in kind}.__getitem__


def _same(value: Any) -> Any:
    return value


def _to_plain(hint: Any) -> Convert:
    """A function from a value of the type to what JSON can say."""
    inner, nullable = _optional(hint)
    if nullable:
        convert = _to_plain(inner)
        return lambda value: None if value is None else convert(value)
    if inner is str:
        return storable
    if inner in (int, float, bool):
        return _same
    if isinstance(inner, type) and issubclass(inner, enum.StrEnum):
        return str
    if typing.get_origin(inner) is tuple:
        return _tuple_to_plain(typing.get_args(inner))
    if dataclasses.is_dataclass(inner):
        hints = typing.get_type_hints(inner)
        members = [(each.name, _to_plain(hints[each.name])) for each in dataclasses.fields(inner)]
        return lambda value: {name: convert(getattr(value, name)) for name, convert in members}
    raise Bug(f"a row cannot hold {hint}")


def _tuple_to_plain(parts: tuple[Any, ...]) -> Convert:
    if parts[-1] is Ellipsis:
        convert = _to_plain(parts[0])
        return lambda value: [convert(each) for each in value]
    converts = [_to_plain(part) for part in parts]
    return lambda value: [each(part) for each, part in zip(converts, value, strict=True)]


def _from_plain(hint: Any) -> Convert:
    """The reverse of `_to_plain`. A missing member gets its default, an unknown one is dropped."""
    inner, nullable = _optional(hint)
    if nullable:
        convert = _from_plain(inner)
        return lambda value: None if value is None else convert(value)
    if typing.get_origin(inner) is tuple:
        return _tuple_from_plain(typing.get_args(inner))
    if isinstance(inner, type) and issubclass(inner, enum.StrEnum):
        return _members(inner)
    if isinstance(inner, type) and dataclasses.is_dataclass(inner):
        hints = typing.get_type_hints(inner)
        members = {each.name: _from_plain(hints[each.name]) for each in dataclasses.fields(inner)}
        return lambda value: inner(
            **{name: members[name](part) for name, part in value.items() if name in members}
        )
    return _same


def _tuple_from_plain(parts: tuple[Any, ...]) -> Convert:
    if parts[-1] is Ellipsis:
        convert = _from_plain(parts[0])
        return lambda value: tuple(convert(each) for each in value)
    converts = [_from_plain(part) for part in parts]
    return lambda value: tuple(each(part) for each, part in zip(converts, value, strict=True))


def _cleaner(hint: Any) -> Convert | None:
    """A function that makes the text in a value storable; None if there cannot be any."""
    inner, _ = _optional(hint)
    if inner is str:
        return storable
    if typing.get_origin(inner) is tuple:
        cleaners = [_cleaner(part) for part in typing.get_args(inner) if part is not Ellipsis]
        return _clean_tuple(cleaners) if any(cleaners) else None
    if isinstance(inner, type) and dataclasses.is_dataclass(inner):
        hints = typing.get_type_hints(inner)
        pairs = [(each.name, _cleaner(hints[each.name])) for each in dataclasses.fields(inner)]
        members = [(name, clean) for name, clean in pairs if clean is not None]
        return _clean_dataclass(members) if members else None
    return None


def _clean_tuple(cleaners: list[Convert | None]) -> Convert:
    if len(cleaners) > 1 or cleaners[0] is None:
        return lambda value: tuple(
            each(part) if each is not None else part
            for each, part in zip(cleaners, value, strict=True)
        )
    clean = cleaners[0]
    return lambda value: tuple(map(clean, value))


def _clean_dataclass(members: list[tuple[str, Convert]]) -> Convert:
    def clean(value: Any) -> Any:
        pairs = ((name, convert, getattr(value, name)) for name, convert in members)
        changed = {name: convert(part) for name, convert, part in pairs if part is not None}
        return dataclasses.replace(value, **changed)

    return clean


_CODECS: dict[Kind, Codec[Any]] = {kind: Codec(kind) for kind in kinds()}
