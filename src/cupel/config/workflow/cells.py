"""The matrix of a workflow's job: its cells on Linux, as a matrix of Cupel."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping

from cupel.config import matrix
from cupel.config.document import Array, Table, Value
from cupel.config.matrix import Cell, Matrix
from cupel.config.workflow import expression, tree
from cupel.config.workflow.expression import Call, Literal, Unreadable

MAX_CELLS = 1024
_AXIS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}", re.ASCII)


class Dynamic(Exception):
    """The matrix is made as the workflow runs, or of what is no text: `what` says which part."""

    def __init__(self, what: str) -> None:
        self.what = what


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """`matrix` has the keys that differ between cells, `constants` those that do not."""

    matrix: Matrix | None
    constants: Mapping[str, str]


def read(value: Value | None) -> Matrix | None:
    """The matrix as it is written; None without one. Raises `Dynamic`."""
    if value is None:
        return None
    if not isinstance(value, Table):
        raise Dynamic("matrix")
    axes = [
        (_key(entry.key.text), _values(entry.key.text, entry.value))
        for entry in value.entries
        if entry.key.text not in ("include", "exclude")
    ]
    made = Matrix(
        axes=tuple(axes),
        include=_listed(tree.get(value, "include"), "include"),
        exclude=_listed(tree.get(value, "exclude"), "exclude"),
    )
    size = len(made.include) + (1 if made.axes else 0)
    for _, values in made.axes:
        size *= max(1, len(values))
    if size > MAX_CELLS:
        raise Dynamic("matrix with more than 1,024 cells")
    return made


def _key(key: str) -> str:
    if not _AXIS.fullmatch(key):
        raise Dynamic(key)
    return key


def _values(key: str, value: Value) -> tuple[str, ...]:
    texts = [tree.text(item) for item in value.items] if isinstance(value, Array) else None
    if texts is None:
        texts = _from_json(tree.text(value), key)
    elif not all(_is_plain(item) for item in tree.items(value)):
        raise Dynamic(key)
    return tuple(dict.fromkeys(texts))


def _from_json(text: str, key: str) -> list[str]:
    """The values of `${{ fromJSON('[…]') }}`, which is sometimes written for a list."""
    marked = expression.MARKED.fullmatch(text.strip())
    try:
        made = expression.read(marked[1]) if marked else None
        match made:
            case Call(function="fromjson", arguments=(Literal(value=str(found)),)):
                values = json.loads(found)
                if isinstance(values, list) and all(isinstance(v, str | int) for v in values):
                    return [str(each) for each in values]
    except (Unreadable, ValueError, RecursionError):
        pass
    raise Dynamic(key)


def _is_plain(value: Value) -> bool:
    return not isinstance(value, Array | Table) and "${{" not in tree.text(value)


def _listed(value: Value | None, key: str) -> tuple[Cell, ...]:
    if value is None:
        return ()
    if not isinstance(value, Array):
        raise Dynamic(key)
    for item in value.items:
        if not all(_is_plain(entry.value) for entry in tree.entries(item)):
            raise Dynamic(key)
    return tuple(
        tuple((_key(name), tree.text(each)) for name, each in tree.pairs(item))
        for item in value.items
    )


def narrow(
    made: Matrix, wanted: Callable[[Cell], bool], used: Callable[[str], bool]
) -> Cells | None:
    """The matrix with only the wanted cells, and without keys that are not used or never differ.

    None if no cell is left. The axes are kept where their product still says the same.
    """
    cells = [dict(cell) for cell in matrix.cells(made) if wanted(cell)]
    if not cells:
        return None
    keys = [key for key in made.keys if any(key in cell for cell in cells)]
    constants = {
        key: cells[0][key]
        for key in keys
        if all(cell.get(key) == cells[0].get(key) for cell in cells)
    }
    needed = [key for key in keys if key not in constants and used(key)]
    slim = _distinct({key: cell[key] for key in needed if cell.get(key)} for cell in cells)
    if not needed or (len(slim) == 1 and not slim[0]):
        return Cells(matrix=None, constants=constants)
    return Cells(matrix=_matrix(made, needed, slim), constants=constants)


def _distinct(cells: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    found: dict[Cell, dict[str, str]] = {}
    for cell in cells:
        found.setdefault(tuple(sorted(cell.items())), cell)
    return list(found.values())


def _matrix(made: Matrix, needed: list[str], cells: list[dict[str, str]]) -> Matrix:
    """One whose cells are these: of axes if their product is that, else each by itself."""
    axes = tuple(
        (name, values)
        for name, all_values in made.axes
        if name in needed
        and (values := tuple(v for v in all_values if any(c.get(name) == v for c in cells)))
    )
    plain = Matrix(axes=axes)
    wanted = {tuple(sorted(cell.items())) for cell in cells}
    if axes and {tuple(sorted(cell)) for cell in matrix.cells(plain)} == wanted:
        return plain
    return Matrix(include=tuple(tuple(cell.items()) for cell in cells))
