"""What all that is shown has in common."""

from __future__ import annotations

from typing import Generic, TypeVar

import pydantic

T = TypeVar("T")


class View(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)


class Page(View, Generic[T]):
    """A part of a list, newest first. `next` is the `before` of the page that follows."""

    entries: list[T]
    next: int | None = None
