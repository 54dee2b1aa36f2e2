"""What is said of a cache in a build."""

from __future__ import annotations

from typing import Any

import pytest

from cupel.core.cache import Cache, CacheState, CacheUse
from cupel.core.model import Pipeline, Verdict
from cupel.report import messages
from unit.core.making import build


def saved(state: CacheState, detail: str | None = None) -> Cache:
    return Cache(
        id=1, project_id=1, host_id=1, name="c", scope="", contents="", item_id=1, buildset_id=1,
        build_id=1, state=state, size=1, created_at=0.0, used_at=0.0, detail=detail,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("use", "left", "about", "text"),
    [
        ({"restored": 3, "exact": True, "size": 48_200_000, "seconds": 0.003}, None, {},
         "restored from build 3, 48.2 MB in 3 ms; not saved: it has what it should have"),
        ({"restored": 3, "size": 10**6}, None, {"verdict": Verdict.FAILURE},
         ("restored from build 3, an older one, 1.0 MB in 0 ms; "
         "not saved: the build has not passed")),
        ({"saved": 10**6}, saved(CacheState.CANDIDATE), {},
         "nothing was there; saved, 1.0 MB: given to nobody until the change lands"),
        ({"saved": 10**6}, saved(CacheState.READY), {"pipeline": Pipeline.PERIODIC},
         "not restored: an audit begins without; saved, 1.0 MB"),
        ({"saved": 10**6}, saved(CacheState.GONE, "its change did not land"), {},
         "nothing was there; saved, 1.0 MB, gone since: its change did not land"),
        ({"saved": 10**6}, None, {}, "nothing was there; saved, 1.0 MB"),
        ({"withheld": "x", "unsaved": "y"}, None, {}, "not restored: x; not saved: y"),
    ],
)  # fmt: skip
def test_it_says_what_was_given_and_what_was_saved(
    use: dict[str, Any], left: Cache | None, about: dict[str, Any], text: str
) -> None:
    one = build(1, **({"verdict": Verdict.SUCCESS} | about))
    assert messages.cache_use(one, CacheUse(name="c", **use), left) == text
