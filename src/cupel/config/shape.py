"""What a configuration may look like. One description both reads it and is its JSON Schema.

A shape reads a value of a document into a Python value or refuses it. Collections report what is
refused in them and read on, so that all problems of a file are found at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

from cupel.config.document import Array, Entry, Kind, Scalar, Table, Value
from cupel.config.problem import Mark, Problems, show

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Schema = dict[str, Any]


class Refused(Exception):
    """A value that cannot be read: where it stands, what is wrong and what to write instead."""

    def __init__(self, at: Mark, message: str, hint: str | None = None) -> None:
        self.at = at
        self.message = message
        self.hint = hint


class Shape(Protocol[T_co]):
    """How a value of one kind is read and described."""

    def read(self, value: Value, problems: Problems) -> T_co:
        """The value. Raises `Refused` if it is wrong as a whole; lesser ones go to `problems`."""
        ...

    def schema(self) -> Schema: ...


def attempt(shape: Shape[T], value: Value, problems: Problems) -> T | None:
    """The value, or None after a refusal, which is reported."""
    try:
        return shape.read(value, problems)
    except Refused as refused:
        problems.add(refused.at, refused.message, refused.hint)
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A value and where it stands."""

    value: T
    at: Mark


def wrong_type(value: Value, wanted: str, hint: str | None = None) -> Refused:
    """The refusal of a value because something else was wanted."""
    message = f"expected {wanted}, found {_described(value)}"
    return Refused(value.at, message, _missing_space(value) or hint)


def _described(value: Value) -> str:
    match value:
        case Array():
            return "a list"
        case Table():
            return "a mapping"
        case Scalar(kind=Kind.NULL):
            return "nothing"
        case Scalar(kind=Kind.TEXT, text=text):
            return f"the text {show(text)}"
        case Scalar(kind=kind, text=text):
            return f"the {kind.removeprefix('a ')} {show(text)[1:-1]}"


def _missing_space(value: Value) -> str | None:
    if isinstance(value, Scalar):
        if value.kind is Kind.NULL:
            return "give the key a value, or remove it"
        found = re.match(r"([A-Za-z_][\w.-]*):[^\s/:]", value.text)
        if found:
            return f'write "{found[1]}: …", with a space after the colon'
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class At(Generic[T]):
    """Reads a value together with its place."""

    shape: Shape[T]

    def read(self, value: Value, problems: Problems) -> Placed[T]:
        return Placed(self.shape.read(value, problems), value.at)

    def schema(self) -> Schema:
        return self.shape.schema()


@dataclasses.dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list; items that cannot be read are left out. `least` is how many there must be."""

    shape: Shape[T]
    wanted: str
    least: int = 0
    empty_hint: str | None = None

    def read(self, value: Value, problems: Problems) -> tuple[T, ...]:
        if not isinstance(value, Array):
            hint = None
            if isinstance(value, Scalar) and value.kind is not Kind.NULL:
                hint = f"write it as a list: [{show(value.text)[1:-1]}]"
            raise wrong_type(value, f"a list of {self.wanted}", hint)
        if len(value.items) < self.least:
            problems.add(value.at, f"an empty list of {self.wanted}", self.empty_hint)
        read = (attempt(self.shape, item, problems) for item in value.items)
        return tuple(item for item in read if item is not None)

    def schema(self) -> Schema:
        schema: Schema = {"type": "array", "items": self.shape.schema()}
        return schema | ({"minItems": self.least} if self.least else {})


@dataclasses.dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A mapping with free keys; the value of an entry that cannot be read is None."""

    key: Shape[str]
    shape: Shape[T]
    wanted: str

    def read(self, value: Value, problems: Problems) -> tuple[tuple[Placed[str], T | None], ...]:
        if not isinstance(value, Table):
            raise wrong_type(value, f"a mapping of {self.wanted}")
        return tuple(self._entries(value, problems))

    def _entries(self, table: Table, problems: Problems) -> list[tuple[Placed[str], T | None]]:
        entries = []
        for entry in table.entries:
            key = attempt(self.key, entry.key, problems)
            value = attempt(self.shape, entry.value, problems)
            entries.append((Placed(key or entry.key.text, entry.key.at), value))
        return entries

    def schema(self) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": self.shape.schema()}
        return schema | {"propertyNames": self.key.schema()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field(Generic[T]):
    """A key of a record, what it takes and what it is for, in a sentence or two of Markdown."""

    key: str
    shape: Shape[T]
    text: str
    required: bool = False


class Found:
    """The fields of a record that were there and could be read."""

    def __init__(self, at: Mark, values: dict[str, Placed[Any]], present: set[str]) -> None:
        self.at = at
        self._values = values
        self._present = present

    def get(self, field: Field[T], default: T) -> T:
        found = self.find(field)
        return default if found is None else found

    def find(self, field: Field[T]) -> T | None:
        placed = self._values.get(field.key)
        return None if placed is None else cast("T", placed.value)

    def says(self, field: Field[Any]) -> bool:
        """Whether the field was there, readable or not."""
        return field.key in self._present

    def failed(self, field: Field[Any]) -> bool:
        """Whether the field was there, but could not be read."""
        return field.key in self._present and field.key not in self._values

    def misspells(self, field: Field[Any]) -> bool:
        """Whether a key that could not be read looks as if the field was meant."""
        unread = self._present - set(self._values)
        return bool(difflib.get_close_matches(field.key, itertools.islice(unread, 100)))

    def mark(self, field: Field[Any]) -> Mark:
        """Where the field's value stands, or else the record."""
        placed = self._values.get(field.key)
        return self.at if placed is None else placed.at


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping with known keys.

    `later` are keys that only other versions of Cupel know, `elsewhere` those that other systems
    have, with what to write here.
    """

    wanted: str
    fields: tuple[Field[Any], ...]
    later: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def read(self, value: Value, problems: Problems) -> Found:
        if not isinstance(value, Table):
            raise wrong_type(value, self.wanted)
        known = {field.key: field for field in self.fields}
        values: dict[str, Placed[Any]] = {}
        present: set[str] = set()
        for entry in value.entries:
            present.add(entry.key.text)
            field = known.get(entry.key.text)
            if field is None:
                self._unknown(entry, problems)
                continue
            read = attempt(field.shape, entry.value, problems)
            if read is not None:
                values[field.key] = Placed(read, entry.value.at)
        self._require(value, present, problems)
        return Found(value.at, values, present)

    def _unknown(self, entry: Entry, problems: Problems) -> None:
        name = entry.key.text
        if name in self.later:
            problems.add(entry.key.at, f"{show(name)} is not supported by this version of Cupel")
        elif name in self.elsewhere:
            problems.add(entry.key.at, f"unknown key {show(name)}", self.elsewhere[name])
        else:
            names = [field.key for field in self.fields]
            problems.add_unknown(
                entry.key.at, f"unknown key {show(name)}", name, names, "known keys"
            )

    def _require(self, table: Table, present: set[str], problems: Problems) -> None:
        unknown = present - {field.key for field in self.fields}
        for field in self.fields:
            if not field.required or field.key in present:
                continue
            if not difflib.get_close_matches(field.key, itertools.islice(unknown, 100)):
                problems.add(table.at, f"the key {show(field.key)} is missing", field.text)

    def schema(self) -> Schema:
        properties = {
            field.key: field.shape.schema() | {"title": field.key, "description": field.text}
            for field in self.fields
        }
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [field.key for field in self.fields if field.required]
        return schema | ({"required": required} if required else {})
