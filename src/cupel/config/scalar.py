"""The shapes of single values: texts, booleans, choices, quantities."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable

from cupel.config import quantity
from cupel.config.document import Kind, Scalar, Value
from cupel.config.problem import Mark, Problems, show, suggest
from cupel.config.shape import Refused, Schema, wrong_type

# Control characters act on terminals; lone surrogates cannot be encoded.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNPRINTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_CANONICAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.(?:0|[0-9]{0,17}[1-9]))?|true|false")


def text_of(value: Value, wanted: str = "a text") -> str:
    """The text of a scalar; numbers and booleans only if nobody could read them differently."""
    if not isinstance(value, Scalar) or value.kind is Kind.NULL:
        raise wrong_type(value, wanted)
    if value.kind is not Kind.TEXT and not _CANONICAL.fullmatch(value.text):
        quoted = f'"{value.text}"'
        raise Refused(
            value.at,
            f"{value.text[:60]} without quotes is {value.kind} to YAML",
            f"write {quoted[:60]} if the text is meant",
        )
    return value.text


def _check_characters(text: str, at: Mark, *, multiline: bool) -> None:
    found = (_UNPRINTED if multiline else _CONTROL).search(text)
    if found:
        raise Refused(at, f"a control character, U+{ord(found[0]):04X}, in the text")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text: not empty, without control characters, at most `limit` bytes of UTF-8.

    A `loose` one is meant to be written as a number or a boolean too, such as a version.
    """

    wanted: str = "a text"
    pattern: str | None = None
    rule: str | None = None
    limit: int = 200
    multiline: bool = False
    empty: bool = False
    loose: bool = False

    def read(self, value: Value, problems: Problems) -> str:
        text = text_of(value, self.wanted)
        _check_characters(text, value.at, multiline=self.multiline)
        if not text.strip() and not self.empty:
            raise Refused(value.at, f"expected {self.wanted}, found an empty one")
        if len(text.encode()) > self.limit:
            raise Refused(value.at, f"longer than {self.limit:,} bytes")
        if self.pattern and not re.fullmatch(self.pattern, text, re.ASCII):
            raise Refused(value.at, f"{show(text)} is not {self.wanted}", self.rule)
        return text

    def schema(self) -> Schema:
        schema: Schema = {"type": "string"}
        if self.pattern:
            schema["pattern"] = f"^(?:{self.pattern})$"
        elif not self.empty:
            schema["minLength"] = 1
        return {"anyOf": [schema, {"type": ["number", "boolean"]}]} if self.loose else schema


@dataclasses.dataclass(frozen=True, slots=True)
class Boolean:
    def read(self, value: Value, problems: Problems) -> bool:
        if isinstance(value, Scalar) and value.kind is Kind.BOOLEAN:
            if value.text.lower() in ("true", "false"):
                return value.text.lower() == "true"
            raise Refused(
                value.at, f"{value.text} is a boolean to some readers only", "write true or false"
            )
        raise wrong_type(value, "true or false")

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: Value, problems: Problems) -> str:
        wanted = " or ".join(self.words)
        text = text_of(value, wanted)
        if text in self.words:
            return text
        message = f"expected {wanted}, found {show(text)}"
        raise Refused(value.at, message, suggest(text, self.words, "possible"))

    def schema(self) -> Schema:
        return {"enum": list(self.words)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number of some unit within bounds, read from a text by `parse`."""

    wanted: str
    example: str
    parse: Callable[[str], float | None]
    low: float
    high: float
    show: Callable[[float], str] = "{:g}".format
    pattern: str | None = None

    def read(self, value: Value, problems: Problems) -> float:
        if not isinstance(value, Scalar) or value.kind in (Kind.NULL, Kind.BOOLEAN):
            raise wrong_type(value, self.wanted, f"write it as in {self.example}")
        amount = self.parse(value.text)
        if amount is None:
            raise Refused(
                value.at,
                f"expected {self.wanted}, found {show(value.text)}",
                f"write it as in {self.example}",
            )
        if not self.low <= amount <= self.high:
            raise Refused(
                value.at,
                f"{show(value.text)[1:-1]} is out of bounds",
                f"{self.show(self.low)} to {self.show(self.high)} is possible",
            )
        return amount

    def schema(self) -> Schema:
        number: Schema = {"type": "number", "minimum": self.low, "maximum": self.high}
        if self.pattern is None:
            return number
        return {"anyOf": [{"type": "string", "pattern": self.pattern}, number]}


def number(text: str) -> float | None:
    """A plain decimal number."""
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII) else None


def whole(text: str) -> float | None:
    """A plain whole number."""
    return float(text) if re.fullmatch(r"\d{1,15}", text, re.ASCII) else None


def duration(low: float, high: float) -> Quantity:
    return Quantity(
        wanted="a duration",
        example="20m, 1h30m or 90s",
        parse=quantity.seconds,
        low=low,
        high=high,
        show=quantity.duration,
        pattern="^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
    )


def size(low: int, high: int) -> Quantity:
    return Quantity(
        wanted="a size",
        example="512M or 4G",
        parse=quantity.size,
        low=low,
        high=high,
        show=lambda value: quantity.bytes_text(math.floor(value)),
        pattern="^[0-9]+(\\.[0-9]+)?[KMGT]?(iB|B)?$",
    )
