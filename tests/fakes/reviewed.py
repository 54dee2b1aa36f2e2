"""A change of a busy world with a real repository: three patch sets, one on another base."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cupel.core.model import Approval, Change, Item, PatchSet, Project
from fakes import repository
from fakes.busy import Busy
from fakes.repository import Repository
from fakes.rows import World

CACHE = """\
class Cache(dict):
    def __init__(self, maxsize):
        self.maxsize = maxsize

    def popitem(self):
        return super().popitem()

    def get(self, key, default=None):
        if key in self:
            return self[key]
        return default
"""
CONFIGURATION = """\
templates:
  python:
    machine: debian-12
    timeout: 10m
jobs:
  build: {extends: python, steps: [python -m build]}
  tests:
    extends: python
    matrix: {python: ["3.11", "3.12"]}
    needs: [build]
    env: {LEVEL: "1"}
    steps:
      - pip install .[tests]
      - pytest -q
  lint: {machine: debian-12, voting: false, steps: [ruff check .]}
check: [tests, lint]
gate: [tests, lint]
"""
LONG = "".join(f"line {number}\n" for number in range(900))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reviewed:
    """The repository, the change's patch sets, and the commit that the branch stands at."""

    repository: Repository
    patch_sets: tuple[str, ...]
    head: str


def make(told: Busy, directory: Path) -> Reviewed:
    """Give the failing change's project a repository, and the change a patch set more.

    The second is as the first with more, the third is the second on what has landed since; it is
    the state that is proved.
    """
    world = told.world
    change = world.rows_of(Change)[told.failing_change]
    made = repository.of(directory, world.rows_of(Project)[change.project_id])
    base = made.commit({"src/cache.py": CACHE.encode(), ".cupel.yaml": CONFIGURATION.encode()})
    later = made.commit({"README.md": b"# Caches\n", "src/other.py": b"1\n"}, base)
    lru = CACHE.replace("return super().popitem()", "return super().popitem(last=False)")
    first = made.commit({"src/cache.py": lru.encode()}, base)
    more = lru.replace("        self.maxsize = maxsize\n", "        self.maxsize = int(maxsize)\n")
    level = CONFIGURATION.replace('LEVEL: "1"', 'LEVEL: "2"').encode()
    files = {"src/cache.py": more.encode(), "src/<b>.txt": LONG.encode(), ".cupel.yaml": level}
    second, rebased = made.commit(files, base), made.commit(files, later)
    _add_patch_set(world, change, rebased)
    repository.be(world, change, made, (first, base), (second, base), (rebased, later))
    (item,) = (row for row in world.rows_of(Item).values() if row.change_id == change.id)
    repository.be_state(world, item.buildset_id or 0, made, rebased, onto=later)
    made.point("refs/heads/main", later)
    return Reviewed(repository=made, patch_sets=(first, second, rebased), head=later)


def _add_patch_set(world: World, change: Change, commit: str) -> None:
    """A third one, which is approved and in the gate as the second was."""
    rows = [row for row in world.rows_of(PatchSet).values() if row.change_id == change.id]
    world.put(dataclasses.replace(rows[0], id=world.id(PatchSet), number=3))
    world.put(dataclasses.replace(change, patch_set=3))
    for item in world.rows_of(Item).values():
        if item.change_id == change.id:
            world.put(dataclasses.replace(item, patch_set=3, commit=commit))
    for approval in world.rows_of(Approval).values():
        if approval.change_id == change.id:
            world.put(dataclasses.replace(approval, patch_set=3))
