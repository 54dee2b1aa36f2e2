"""The plain matrix: one job, a cell for each combination of values.

`exclude` and `include` mean what they mean in GitHub Actions: an exclusion removes every
combination that it matches, though it name but some axes; an inclusion adds its keys to every
combination whose axes it does not contradict, and is a cell of its own if there is none.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import re
from collections.abc import Mapping

from cupel.config.document import Array, Entry, Table, Value
from cupel.config.problem import Mark, Problems, show
from cupel.config.scalar import Text
from cupel.config.shape import At, ListOf, MapOf, Placed, Refused, Schema, attempt, wrong_type

MAX_CELLS = 1024
MAX_CELL_NAME = 120

Cell = tuple[tuple[str, str], ...]
"""Axis and value, in the order of the axes, then of what was included."""

AXIS = Text(
    wanted="the name of an axis",
    pattern="[A-Za-z][A-Za-z0-9_-]{0,31}",
    rule="a letter, then at most 31 letters, digits, “_” or “-”",
)
VALUE = Text(wanted="a text or a number", limit=100, loose=True)

REFERENCE = re.compile(r"(\$?)\{\{\s*matrix\.([A-Za-z][A-Za-z0-9_-]*)\s*\}\}")
"""What the value of an axis replaces in steps, env and machine."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Axes with their values, and what to add to and take from their product."""

    axes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    include: tuple[Cell, ...] = ()
    exclude: tuple[Cell, ...] = ()
    places: Mapping[tuple[str, str], Mark] = dataclasses.field(default_factory=dict, compare=False)
    """Where the values stand."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that some cell has."""
        included = (key for cell in self.include for key, _ in cell)
        return tuple(dict.fromkeys([*(name for name, _ in self.axes), *included]))


def cells(matrix: Matrix) -> tuple[Cell, ...]:
    """All cells in order: the first axis varies slowest, included ones of their own come last."""
    names = [name for name, _ in matrix.axes]
    product = itertools.product(*(values for _, values in matrix.axes)) if names else ()
    originals = [dict(zip(names, values, strict=True)) for values in product]
    kept = [
        cell
        for cell in originals
        if not any(_matches(cell, excluded) for excluded in matrix.exclude)
    ]
    extended = [dict(cell) for cell in kept]
    alone: list[dict[str, str]] = []
    for included in matrix.include:
        fitting = [
            number
            for number, cell in enumerate(kept)
            if all(cell.get(key, value) == value for key, value in included)
        ]
        for number in fitting:
            extended[number].update(included)
        if not fitting:
            alone.append(dict(included))
    return tuple(tuple(cell.items()) for cell in [*extended, *alone])


def _matches(cell: dict[str, str], excluded: Cell) -> bool:
    return all(cell.get(key) == value for key, value in excluded)


def cell_name(base: str, cell: Cell) -> str:
    """The name of a cell's job: one path segment, so a slash in a value is shown as a dash."""
    if not cell:
        return base
    values = ", ".join(f"{key}={value.replace('/', '-')}" for key, value in cell)
    return f"{base} ({values})"


def variable(key: str) -> str:
    """The environment variable that has the value of an axis."""
    return "MATRIX_" + key.upper().replace("-", "_")


def fill(text: str, cell: Cell) -> str:
    """The text with its references replaced; a key that the cell lacks is empty."""
    values = dict(cell)
    return REFERENCE.sub(lambda match: values.get(match[2], ""), text)


def check_references(text: str, at: Mark, matrix: Matrix | None, problems: Problems) -> None:
    """Report references to axes that there are not, and those written as elsewhere."""
    keys = matrix.keys if matrix else ()
    for dollar, key in REFERENCE.findall(text):
        if dollar:
            hint = f"write {{{{matrix.{key}}}}}, without the $"
            problems.add(at, f"${{{{ matrix.{key} }}}} is not replaced", hint)
        elif key not in keys:
            problems.add_unknown(at, f"the matrix has no {show(key)}", key, keys, "axes")


class _Cells:
    """The shape of `include` and `exclude`: a list of mappings from axis to value."""

    _shape = ListOf(MapOf(AXIS, VALUE, "axes to values"), "mappings")

    def read(self, value: Value, problems: Problems) -> tuple[Placed[Cell], ...]:
        if not isinstance(value, Array):
            raise wrong_type(value, "a list of mappings from axis to value")
        return tuple(self._cell(item, problems) for item in value.items)

    def _cell(self, item: Value, problems: Problems) -> Placed[Cell]:
        pairs = attempt(self._shape.shape, item, problems) or ()
        cell = tuple((key.value, value) for key, value in pairs if value is not None)
        return Placed(cell, item.at)

    def schema(self) -> Schema:
        return self._shape.schema()


_Axes = tuple[tuple[str, tuple[Placed[str], ...]], ...]


class MatrixShape:
    """Reads a matrix and checks that its cells are few, different and there."""

    _values = ListOf(At(VALUE), "values", least=1)
    _cells = _Cells()

    def read(self, value: Value, problems: Problems) -> Matrix:
        if not isinstance(value, Table):
            raise wrong_type(value, "a mapping from axes to lists of values")
        placed = self._axes(value, problems)
        axes = tuple((name, tuple(each.value for each in values)) for name, values in placed)
        special = {entry.key.text: entry.value for entry in value.entries}
        include = self._special("include", special, problems)
        exclude = self._special("exclude", special, problems)
        self._check_size(value.at, axes, include)
        self._check_exclude(axes, exclude, problems)
        matrix = Matrix(
            axes=axes,
            include=tuple(cell.value for cell in include),
            exclude=tuple(cell.value for cell in exclude),
            places=_places(placed, include),
        )
        _check_variables(matrix, value.at, problems)
        _check_cells(matrix, value.at, problems)
        return matrix

    def _axes(self, table: Table, problems: Problems) -> _Axes:
        plain = [entry for entry in table.entries if entry.key.text not in ("include", "exclude")]
        return tuple((entry.key.text, self._axis(entry, problems)) for entry in plain)

    def _axis(self, entry: Entry, problems: Problems) -> tuple[Placed[str], ...]:
        attempt(AXIS, entry.key, problems)
        placed = attempt(self._values, entry.value, problems) or ()
        values = [each.value for each in placed]
        if len(set(values)) < len(values):
            double = next(value for value in values if values.count(value) > 1)
            problems.add(entry.value.at, f"the value {show(double)} is there twice")
        return placed

    def _special(
        self, key: str, special: dict[str, Value], problems: Problems
    ) -> tuple[Placed[Cell], ...]:
        if key not in special:
            return ()
        return attempt(self._cells, special[key], problems) or ()

    def _check_size(
        self,
        at: Mark,
        axes: tuple[tuple[str, tuple[str, ...]], ...],
        include: tuple[Placed[Cell], ...],
    ) -> None:
        combinations = math.prod(len(values) for _, values in axes) if axes else 0
        if combinations + len(include) > MAX_CELLS:
            raise Refused(
                at,
                f"{combinations + len(include):,} combinations; at most {MAX_CELLS:,} are possible",
                "split the job, or take values away",
            )

    def _check_exclude(
        self,
        axes: tuple[tuple[str, tuple[str, ...]], ...],
        exclude: tuple[Placed[Cell], ...],
        problems: Problems,
    ) -> None:
        values = dict(axes)
        for placed in exclude:
            for key, value in placed.value:
                if key not in values:
                    problems.add_unknown(
                        placed.at, f"the matrix has no {show(key)}", key, values, "axes"
                    )
                elif value not in values[key]:
                    problems.add_unknown(
                        placed.at,
                        f"{show(key)} has no value {show(value)}",
                        value,
                        values[key],
                        "values",
                    )

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": {
                "include": self._cells.schema(),
                "exclude": self._cells.schema(),
            },
            "additionalProperties": self._values.schema(),
        }


def _places(axes: _Axes, include: tuple[Placed[Cell], ...]) -> dict[tuple[str, str], Mark]:
    """Where each value stands; one that an axis and an inclusion have, in the axis."""
    found = {pair: cell.at for cell in reversed(include) for pair in cell.value}
    return found | {(name, each.value): each.at for name, values in axes for each in values}


def _check_variables(matrix: Matrix, at: Mark, problems: Problems) -> None:
    names: dict[str, str] = {}
    for key in matrix.keys:
        other = names.setdefault(variable(key), key)
        if other != key:
            problems.add(at, f"{show(other)} and {show(key)} would both be ${variable(key)}")


def _check_cells(matrix: Matrix, at: Mark, problems: Problems) -> None:
    if problems:
        return
    names = [cell_name("", cell) for cell in cells(matrix)]
    if not names:
        problems.add(at, "the matrix has no cells", "give it an axis with values")
    for name in (name for name, count in collections.Counter(names).items() if count > 1):
        problems.add(at, f"two cells of the matrix would have the name {show(name.strip())}")
    for name in names:
        if len(name.encode()) > MAX_CELL_NAME:
            problems.add(
                at, f"the name of a cell is longer than {MAX_CELL_NAME} bytes: {show(name)}"
            )
            break
