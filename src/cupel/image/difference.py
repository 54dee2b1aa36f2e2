"""What differs between two images: packages and files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace

from cupel.image import tree
from cupel.image.catalogue import Catalogue
from cupel.image.tree import Entry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`packages` are name, old and new version; `files` are path and what became of it."""

    old: str
    new: str
    packages: tuple[tuple[str, str | None, str | None], ...]
    files: tuple[tuple[str, str], ...]


def between(catalogue: Catalogue, old: str, new: str) -> Difference:
    """What differs between the images of two digests that there are."""
    return Difference(
        old=old,
        new=new,
        packages=_packages(catalogue.packages(old), catalogue.packages(new)),
        files=files(
            tree.read_manifest(catalogue.manifest(old)), tree.read_manifest(catalogue.manifest(new))
        ),
    )


def _packages(
    old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[tuple[str, str | None, str | None], ...]:
    names = sorted(old.keys() | new.keys())
    return tuple(
        (name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    )


def files(old: Mapping[str, Entry], new: Mapping[str, Entry]) -> tuple[tuple[str, str], ...]:
    """Paths that were added, removed or changed. A time alone is no change."""
    found = []
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before is None:
            found.append((path, "added"))
        elif after is None:
            found.append((path, "removed"))
        elif replace(before, time=0) != replace(after, time=0):
            found.append((path, "changed"))
    return tuple(found)
