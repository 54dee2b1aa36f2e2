"""What somebody who searches means."""

from __future__ import annotations

import pytest

from cupel.core import search


@pytest.mark.parametrize(
    ("text", "noun", "number", "commit"),
    [
        ("#12", None, 12, None),
        ("build 34", "build", 34, None),
        ("Change #7", "change", 7, None),
        ("machine7", "machine", 7, None),
        ("123456", None, 123456, "123456"),
        ("4F2A91C", None, None, "4f2a91c"),
        ("build it", None, None, None),
        ("facade", None, None, "facade"),
        ("9" * 30, None, None, "9" * 30),
    ],
)
def test_what_a_text_names(
    text: str, noun: str | None, number: int | None, commit: str | None
) -> None:
    asked = search.read(text)
    assert (asked.noun, asked.number, asked.commit) == (noun, number, commit)


def test_words_must_all_be_there_in_whatever_field() -> None:
    asked = search.read("lru  Ada")
    assert search.fit(asked, ["Speed up the LRU", "Ada Lovelace", None])
    assert not search.fit(asked, ["Speed up the LRU", "Grace Hopper"])
    assert not search.fit(search.read("   "), ["anything"])


def test_what_fits_better_comes_first() -> None:
    asked = search.read("cache key")
    texts = [
        ["cache key"],
        ["cache keys are typed"],
        ["type a cache key"],
        ["type a recache keyring"],
        ["key of a cache"],
        ["keys", "caches"],
    ]
    points = [search.fit(asked, each) for each in texts]
    assert points == sorted(points, reverse=True)
    assert len(set(points)) == len(points)
    assert search.fit(asked, ["cache key", "x"]) > search.fit(asked, ["x", "cache key"])
