"""A change of a busy world with a real repository: three patch sets, one on another base."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cupel.core.model import (
    Approval,
    Branch,
    BuildsetState,
    Change,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Project,
    Reason,
)
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
jobs:
  python:
    abstract: true
    machine: debian-12
    timeout: 10m
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
MISCONFIGURED = "Test on riscv"
LONG = "".join(f"line {number}\n" for number in range(900))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reviewed:
    """The repository, the change's patch sets, and the commit that the branch stands at.

    `misconfigured` is a change whose configuration can't be used, and which needs changes of two
    projects, one of which nobody has approved; `circular` one of two that need each other.
    """

    repository: Repository
    patch_sets: tuple[str, ...]
    head: str
    misconfigured: int
    circular: int


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
    for branch in world.rows_of(Branch).values():
        if branch.project_id == change.project_id:
            world.put(dataclasses.replace(branch, head=later))
    return Reviewed(
        repository=made,
        patch_sets=(first, second, rebased),
        head=later,
        misconfigured=_misconfigured(world, change, made, later),
        circular=_circle(world, change),
    )


def _misconfigured(world: World, beside: Change, made: Repository, head: str) -> int:
    """A change with an error in its configuration, which needs changes of two projects."""
    projects = list(world.rows_of(Project).values())
    (own,) = (row for row in projects if row.id == beside.project_id)
    (other,) = (row for row in projects if row.name == "nightjar")
    low = world.change(own, "Measure the time that an item has left")
    across = world.change(other, "Show times to live", needs=low, approved=False)
    change = world.change(
        own, MISCONFIGURED, "Ada Lovelace <ada@example.org>", depends_on=(beside, across)
    )
    text = CONFIGURATION.replace('"3.12"]}', '"3.12"]}\n\tmashine: riscv')
    broken = text.replace("\tmashine", "    mashine").encode()
    commit = made.commit({".cupel.yaml": broken}, head)
    repository.be(world, change, made, (commit, head))
    world.item(
        change,
        Pipeline.CHECK,
        onto=head,
        state=ItemState.REJECTED,
        set_state=BuildsetState.MISCONFIGURED,
        age=300,
        ended=290,
        reason=Reason.MISCONFIGURED,
        detail='.cupel.yaml:10:5: unknown key "mashine"\n  did you mean "machine"?',
    )
    return change.id


def _circle(world: World, beside: Change) -> int:
    """A change that needs another one, which needs it."""
    (own,) = (row for row in world.rows_of(Project).values() if row.id == beside.project_id)
    one = world.change(own, "Rename the server's half", approved=False)
    other = world.change(own, "Rename the client's half", depends_on=(one,))
    for row in world.rows_of(PatchSet).values():
        if row.change_id == one.id:
            world.put(dataclasses.replace(row, depends_on=(other.id,)))
    return other.id


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
