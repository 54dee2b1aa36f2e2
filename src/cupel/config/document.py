"""YAML as a small tree of values that know where they stand.

Built from parser events, not from PyYAML's constructors: nothing of the input is ever executed or
resolved into an object, and size, depth and the expansion of aliases are bounded as it is read.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

import yaml

from cupel.config import malformed
from cupel.config.problem import Mark, Problems, show

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
MAX_TEXT = 4 << 20
MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"


class Kind(enum.StrEnum):
    """What YAML takes a scalar for."""

    TEXT = "a text"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    NULL = "nothing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """`text` is the scalar as written, without its quotation marks."""

    at: Mark
    text: str
    kind: Kind


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    at: Mark
    items: tuple[Value, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    key: Scalar
    value: Value


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping in the order it was written; keys are unique, merge keys are resolved."""

    at: Mark
    entries: tuple[Entry, ...]


Value = Scalar | Array | Table


def read(file: str, text: str, problems: Problems) -> Value | None:
    """The file's one document; None if it is empty or cannot be read: `problems` then says why."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        problems.add(Mark(file), "the file is larger than 1 MiB")
        return None
    builder = _Builder(file, problems)
    try:
        for event in _events(text):
            builder.feed(event)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        problems.add(*malformed.explain(error, file, text))
        return None
    except _TooMuch as error:
        problems.add(error.at, error.message)
        return None
    return builder.root


def _events(text: str) -> Iterator[yaml.Event]:
    return iter(yaml.parse(text, Loader=yaml.SafeLoader))


class _TooMuch(Exception):
    """Reading on would cost more than a configuration is worth."""

    def __init__(self, at: Mark, message: str) -> None:
        self.at = at
        self.message = message


@dataclasses.dataclass(slots=True)
class _Built:
    """A finished value, how many values and characters it stands for and how deep it goes."""

    value: Value
    text: int = 0
    size: int = 1
    height: int = 1


@dataclasses.dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    at: Mark
    is_table: bool
    anchor: str | None
    children: list[_Built] = dataclasses.field(default_factory=list)


class _Builder:
    """Builds the tree from events, with its own stack."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.root: Value | None = None
        self._file = file
        self._problems = problems
        self._resolver = yaml.resolver.Resolver()
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Built | None] = {}
        self._values = 0
        self._text = 0

    def feed(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                if self.root is not None:
                    raise _TooMuch(self._mark(event), "a second document: one a file is read")
            case yaml.ScalarEvent():
                self._add(_Built(self._scalar(event), len(event.value)), event.anchor)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._open(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._add(self._alias(event), None)

    def _mark(self, event: yaml.Event) -> Mark:
        return malformed.mark(self._file, event.start_mark)

    def _open(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        at = self._mark(event)
        is_table = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_table else "seq")):
            self._refuse_tag(at)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(at, is_table, event.anchor))
        if len(self._stack) > MAX_DEPTH:
            raise _TooMuch(at, f"nested deeper than {MAX_DEPTH} levels")

    def _close(self) -> None:
        done = self._stack.pop()
        if done.is_table:
            value: Value = Table(at=done.at, entries=tuple(self._entries(done)))
        else:
            value = Array(at=done.at, items=tuple(child.value for child in done.children))
        size = 1 + sum(child.size for child in done.children)
        height = 1 + max((child.height for child in done.children), default=0)
        text = sum(child.text for child in done.children)
        self._values -= size - 1
        self._text -= text
        self._add(_Built(value, text, size, height), done.anchor)

    def _add(self, built: _Built, anchor: str | None) -> None:
        at = built.value.at
        self._values += built.size
        self._text += built.text
        if self._values > MAX_VALUES:
            raise _TooMuch(at, f"more than {MAX_VALUES:,} values, aliases expanded")
        if self._text > MAX_TEXT:
            raise _TooMuch(at, "more than 4 MiB of text, aliases expanded")
        if len(self._stack) + built.height > MAX_DEPTH + 1:
            raise _TooMuch(at, f"nested deeper than {MAX_DEPTH} levels")
        if anchor is not None:
            self._anchors[anchor] = built
        if self._stack:
            self._stack[-1].children.append(built)
        else:
            self.root = built.value

    def _alias(self, event: yaml.AliasEvent) -> _Built:
        name, at = event.anchor or "", self._mark(event)
        if name not in self._anchors:
            raise _TooMuch(at, f"no anchor {show('&' + name)} stands before this alias")
        built = self._anchors[name]
        if built is None:
            raise _TooMuch(at, f"the anchor {show('&' + name)} contains itself")
        # The copy stands where the alias does, what is in it where it was written.
        return dataclasses.replace(built, value=dataclasses.replace(built.value, at=at))

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        at = self._mark(event)
        kind = Kind.TEXT
        if event.tag in (None, "!") and event.implicit[0]:
            tag = self._resolver.resolve(  # type: ignore[no-untyped-call]
                yaml.ScalarNode, event.value, (True, False)
            )
            kind = _KINDS.get(tag, Kind.TEXT)
        elif event.tag not in (None, "!", _TAG + "str"):
            self._refuse_tag(at)
        return Scalar(at=at, text=event.value, kind=kind)

    def _refuse_tag(self, at: Mark) -> None:
        self._problems.add(at, "tags have no meaning here", "remove the word that begins with “!”")

    def _entries(self, table: _Open) -> Iterator[Entry]:
        """The pairs, duplicates reported and dropped, merged ones after the table's own."""
        own: dict[str, Entry] = {}
        merges: list[Value] = []
        pairs = zip(table.children[::2], table.children[1::2], strict=True)
        for key, value in ((key.value, value.value) for key, value in pairs):
            if not isinstance(key, Scalar):
                self._problems.add(
                    key.at,
                    "a key has to be a text",
                    "put a text that begins with “{” or “[” in quotes",
                )
            elif key.text == "<<" and key.kind is Kind.TEXT:
                merges.append(value)
            elif key.text in own:
                first = own[key.text].key.at
                self._problems.add(
                    key.at, f"duplicate key {show(key.text)}", f"the first is at {first}"
                )
            else:
                own[key.text] = Entry(key=key, value=value)
        for entry in self._merged(merges):
            own.setdefault(entry.key.text, entry)
        yield from own.values()

    def _merged(self, merges: list[Value]) -> Iterator[Entry]:
        for merge in merges:
            for source in merge.items if isinstance(merge, Array) else (merge,):
                if isinstance(source, Table):
                    yield from source.entries
                else:
                    self._problems.add(
                        source.at, "“<<” merges mappings", "write an alias to one, as in <<: *name"
                    )


_KINDS = {
    _TAG + "null": Kind.NULL,
    _TAG + "bool": Kind.BOOLEAN,
    _TAG + "int": Kind.NUMBER,
    _TAG + "float": Kind.NUMBER,
}
