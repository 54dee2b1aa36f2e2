"""What somebody who searches means, and how well something fits it. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

LONGEST = 1_000
"""Characters of what is looked for."""

_NUMBERED = re.compile(r"(?:(change|build|machine)\s*)?(#)?(\d{1,18})", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{6,64}", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked for: `words` that must all be there, in lower case, and what they may name.

    `noun` is the kind of what `number` names, if that was said: change, build or machine. `commit`
    is the beginning of a commit's id.
    """

    text: str
    words: tuple[str, ...]
    noun: str | None = None
    number: int | None = None
    commit: str | None = None


def read(text: str) -> Asked:
    """What the text means: `#12`, `build 34`, `4f2a91c`, or words."""
    text = " ".join(text[:LONGEST].split())
    numbered = _NUMBERED.fullmatch(text)
    return Asked(
        text=text,
        words=tuple(dict.fromkeys(text.casefold().split())),
        noun=numbered[1].lower() if numbered is not None and numbered[1] else None,
        number=int(numbered[3]) if numbered is not None else None,
        commit=text.lower() if _COMMIT.fullmatch(text) else None,
    )


def fit(asked: Asked, fields: Iterable[str | None]) -> int:
    """How well something with these fields fits, the most telling first; 0 if a word is missing.

    The text as a whole counts more than its words, a beginning more than a middle, and an earlier
    field more than a later one.
    """
    texts = [each.casefold() for each in fields if each]
    together = "\n".join(texts)
    if not asked.words or any(word not in together for word in asked.words):
        return 0
    return max(_points(asked, text) - place for place, text in enumerate(texts)) + 1


def _points(asked: Asked, text: str) -> int:
    whole = asked.text.casefold()
    if text == whole:
        return 60
    if text.startswith(whole):
        return 50
    if whole in text:
        return 40 if re.search(rf"\b{re.escape(whole)}", text) else 30
    return 20 if all(word in text for word in asked.words) else len(texts_of(text, asked.words))


def texts_of(text: str, words: Sequence[str]) -> list[str]:
    """Those of the words that are in a text."""
    return [word for word in words if word in text]
