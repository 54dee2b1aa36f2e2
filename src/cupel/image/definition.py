"""What an image is made of, and the hash by which two equal definitions are known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence

RECIPE = 1
"""Raised when `build` makes something else of the same definition."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A Debian `suite` with `packages`, sorted and without doubles, for an `architecture`."""

    suite: str
    packages: tuple[str, ...]
    architecture: str

    @property
    def hash(self) -> str:
        """Hex; equal for equal definitions on every computer."""
        canonical = json.dumps(
            [RECIPE, self.architecture, self.suite, self.packages], separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def text(self) -> str:
        return " ".join((self.suite, self.architecture, *self.packages))


def define(suite: str, packages: Sequence[str], architecture: str) -> Definition:
    return Definition(suite=suite, packages=tuple(sorted(set(packages))), architecture=architecture)
