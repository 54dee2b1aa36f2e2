"""The expressions of GitHub Actions, `${{ … }}`: read, and worked out as far as is known.

The grammar is that of GitHub's documentation, "Evaluate expressions in workflows and actions".
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

MAX_LENGTH = 4000
MAX_DEPTH = 30

MARKED = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<sign>==|!=|<=|>=|&&|\|\||[<>!()\[\],.*]))"
)

Known = str | float | bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Literal:
    value: Known


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """A value of a context, such as `matrix.python`, by its path."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Tree, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Not:
    inner: Tree


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """Two values and one of `== != < > <= >= && ||`."""

    sign: str
    left: Tree
    right: Tree


Tree = Literal | Name | Call | Not | Pair


class Unreadable(Exception):
    """A text is no expression."""


def read(source: str) -> Tree:
    """The expression in a text without its marks. Raises `Unreadable`."""
    if len(source) > MAX_LENGTH:
        raise Unreadable
    reader = _Reader(list(_tokens(source)))
    tree = reader.either(0)
    if reader.more:
        raise Unreadable
    return tree


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(source.rstrip())
    while position < end:
        found = _TOKEN.match(source, position)
        if found is None:
            raise Unreadable
        position = found.end()
        yield found.lastgroup or "", found[found.lastgroup or 0]


class _Reader:
    """Recursive descent, of bounded depth."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._tokens)

    def _next(self) -> tuple[str, str]:
        if not self.more:
            raise Unreadable
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *signs: str) -> str | None:
        if self.more and self._tokens[self._at][0] == "sign" and self._tokens[self._at][1] in signs:
            return self._next()[1]
        return None

    def _need(self, sign: str) -> None:
        if self._take(sign) is None:
            raise Unreadable

    def either(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise Unreadable
        return self._chain(("||",), lambda: self._both(depth))

    def _both(self, depth: int) -> Tree:
        return self._chain(("&&",), lambda: self._compared(depth))

    def _compared(self, depth: int) -> Tree:
        return self._chain(("==", "!=", "<", ">", "<=", ">="), lambda: self._single(depth))

    def _chain(self, signs: tuple[str, ...], inner: Callable[[], Tree]) -> Tree:
        left = inner()
        while sign := self._take(*signs):
            left = Pair(sign, left, inner())
        return left

    def _single(self, depth: int) -> Tree:
        negations = 0
        while self._take("!"):
            negations += 1
        if self._take("("):
            tree = self.either(depth + 1)
            self._need(")")
        else:
            tree = self._value(depth)
        for _ in range(negations if negations < 2 else 2 - negations % 2):
            tree = Not(tree)
        return tree

    def _value(self, depth: int) -> Tree:
        kind, token = self._next()
        if kind == "text":
            return Literal(token[1:-1].replace("''", "'"))
        if kind == "number":
            return Literal(float(int(token, 16)) if "0x" in token.lower() else float(token))
        if kind != "name":
            raise Unreadable
        if token.lower() in _WORDS:
            return Literal(_WORDS[token.lower()])
        if self._take("("):
            return Call(token.lower(), tuple(self._arguments(depth)))
        return self._path(token)

    def _arguments(self, depth: int) -> Iterator[Tree]:
        if self._take(")"):
            return
        while True:
            yield self.either(depth + 1)
            if self._take(")"):
                return
            self._need(",")

    def _path(self, first: str) -> Name:
        path = [first]
        while sign := self._take(".", "["):
            kind, word = self._next()
            if sign == "." and (kind == "name" or word == "*"):
                path.append(word)
            elif sign == "[" and kind == "text":
                path.append(word[1:-1])
                self._need("]")
            else:
                raise Unreadable
        return Name(tuple(path))


_WORDS: dict[str, Known] = {"true": True, "false": False, "null": None}


class Unknown(Exception):
    """The value of an expression depends on what is not known here."""


Lookup = Callable[[Name], Known]


def value(tree: Tree, lookup: Lookup) -> Known:
    """What the expression is. Raises `Unknown`, as `lookup` does for a name that it lacks."""
    match tree:
        case Literal(value=found):
            return found
        case Name():
            return lookup(tree)
        case Not(inner=inner):
            return not is_true(value(inner, lookup))
        case Pair(sign="&&" | "||"):
            return _logic(tree, lookup)
        case Pair(sign=sign, left=left, right=right):
            return _compare(sign, value(left, lookup), value(right, lookup))
        case Call():
            return _call(tree, lookup)


def is_true(found: Known) -> bool:
    return found not in (None, False, 0, "")


def _logic(tree: Pair, lookup: Lookup) -> Known:
    """Short-circuit, also where only the right side is known and decides."""
    try:
        left = value(tree.left, lookup)
    except Unknown:
        right = value(tree.right, lookup)
        if is_true(right) == (tree.sign == "||") and not isinstance(right, str):
            return right
        raise
    if is_true(left) == (tree.sign == "||"):
        return left
    return value(tree.right, lookup)


def _compare(sign: str, left: Known, right: Known) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        one, other = left.lower(), right.lower()
        equal = one == other
    else:
        equal = type(left) is type(right) and left == right
        if type(left) is not type(right):
            equal = _number(left) == _number(right)
    match sign:
        case "==":
            return equal
        case "!=":
            return not equal
    raise Unknown


def _number(found: Known) -> float:
    if isinstance(found, str):
        try:
            return float(found) if found else 0.0
        except ValueError:
            return float("nan")
    return float(found or 0)


def _call(tree: Call, lookup: Lookup) -> Known:
    found = [value(each, lookup) for each in tree.arguments]
    texts = [each.lower() for each in found if isinstance(each, str)]
    if len(texts) == len(found) == 2 and tree.function in _OF_TEXTS:
        return _OF_TEXTS[tree.function](*texts)
    if tree.function in _STATES and not found:
        return _STATES[tree.function]
    raise Unknown


_OF_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda whole, part: part in whole,
    "startswith": lambda whole, part: whole.startswith(part),
    "endswith": lambda whole, part: whole.endswith(part),
}
_STATES = {"success": True, "always": True, "failure": False, "cancelled": False}
