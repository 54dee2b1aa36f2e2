"""A cache, and what became of one in a build."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.cache import CacheState


class CacheView(View):
    """What a build saved for later ones, on its host. `why` says why it is going."""

    project: str
    name: str
    host: str
    build: int
    state: CacheState
    size: int
    created_at: float
    used_at: float
    why: str | None


class CacheUseView(View):
    """What became of a cache in a build: `text` says it.

    `restored` is the build that had saved what was restored, of `size` bytes, in `seconds`; `exact`
    if its files are the same. `saved` is how many bytes were saved, `state` what became of that.
    """

    name: str
    restored: int | None
    exact: bool
    size: int
    seconds: float
    saved: int | None
    state: CacheState | None
    text: str


class ClearedView(View):
    """How many caches were ordered to go."""

    cleared: int
