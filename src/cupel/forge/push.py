"""What a push asks for: parsed and decided, without touching anything.

docs/reference/push.md is the contract. `examine` feeds this module from a repository.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

TITLE_LIMIT = 250


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A ref that the client wants moved. None: the ref does not exist, or shall not."""

    ref: str
    old: str | None
    new: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A push as the hook hands it over.

    `env` makes objects in quarantine visible to git; it is empty once the push is accepted.
    """

    project: str
    user: str
    repo: Path
    commands: tuple[Command, ...]
    options: tuple[str, ...]
    env: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """`-o` and `%` options. A title and a description replace those of the commit."""

    topic: str | None = None
    title: str | None = None
    description: str | None = None
    land: bool = False
    wait: bool = False
    hold: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A command for `refs/for/…`: `tip` is proposed for the guarded `branch`."""

    ref: str
    branch: str
    tip: str
    options: PushOptions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """A command for a branch or tag that nobody guards: git carries it out itself."""

    ref: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a ref is not taken, and what to do instead."""

    ref: str
    message: str
    hint: str | None = None
