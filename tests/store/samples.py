"""Rows to store: one of each class with plain values, and Hypothesis strategies from type hints."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

from hypothesis import strategies as st

from cupel.core import model

KINDS: tuple[type[Any], ...] = typing.get_args(model.Row)

# SQLite and PostgreSQL both have integers of 64 bits.
INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# Every code point, with NUL and surrogates, which no database keeps.
TEXTS = st.text(st.characters(), max_size=40)


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as the model's rows have them."""
    if isinstance(hint, types.UnionType):
        return st.one_of(*[strategy(part) for part in typing.get_args(hint)])
    if hint is types.NoneType:
        return st.none()
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        if parts[-1] is Ellipsis:
            return st.lists(strategy(parts[0]), max_size=3).map(tuple)
        return st.tuples(*[strategy(part) for part in parts])
    assert dataclasses.is_dataclass(hint)
    hints = typing.get_type_hints(hint)
    members = {name: strategy(hints[name]) for name in hints}
    return st.fixed_dictionaries(members).map(lambda values: hint(**values))


_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    float: FLOATS,
    bool: st.booleans(),
    str: TEXTS,
}


def kept(value: Any) -> Any:
    """The value as a store gives it back: NUL and surrogates are replaced, all else is the same."""
    if type(value) is str:
        return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in value)
    if isinstance(value, tuple):
        return tuple(kept(part) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return type(value)(**{name: kept(getattr(value, name)) for name in names})
    return value


def project(id: int, name: str | None = None) -> model.Project:
    return model.Project(
        id=id,
        name=name or f"project-{id}",
        queue_id=1,
        branches=("main",),
        policy=model.Policy(),
        created_at=1.0,
    )


def event(id: int, **fields: Any) -> model.Event:
    return model.Event(**{"id": id, "at": float(id), "kind": "build-finished", **fields})


def change(id: int, **fields: Any) -> model.Change:
    values: dict[str, Any] = {
        "project_id": 1,
        "branch": "main",
        "key": f"I{id}",
        "topic": None,
        "title": f"Change {id}",
        "description": "",
        "author": "ada@example.org",
        "owner": "ada",
        "state": model.ChangeState.OPEN,
        "patch_set": 1,
        "wants_land": False,
        "land_asked_at": None,
        "landed_commit": None,
        "created_at": 1.0,
        "updated_at": 1.0,
    }
    return model.Change(id=id, **values | fields)
