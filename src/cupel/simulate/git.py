"""Git as a model: a commit is the set of patches that its tree holds; a merge is their union."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import hashlib
from collections.abc import Iterable, Mapping

from cupel.core.model import Job
from cupel.git import inputs

Ref = tuple[int, str]
"""A project's id and the name of a branch."""

ANYTHING = frozenset({"*"})
"""What a patch touches that may concern every job."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What one commit changes, and what comes of it.

    It `breaks` some jobs wherever it is, `clashes` with patches of other names (a job fails where
    both are) and `conflicts` with others (they do not merge). It `repairs` what the patches of
    these names break, and jobs of these names that fail on every state for another reason. None of
    that concerns a job that reads no path that the patch `touches`.

    Jobs that it `hangs` never end. `flaky` is how often a job fails for no reason. The builds of
    its change run for `takes` seconds, or for `fails_at` of that where the patch breaks them.
    `jobs` are those of the gate wherever the patch is, if it changes them.
    """

    name: str
    number: int = 1
    touches: frozenset[str] = ANYTHING
    breaks: frozenset[str] = frozenset()
    clashes: frozenset[str] = frozenset()
    conflicts: frozenset[str] = frozenset()
    repairs: frozenset[str] = frozenset()
    hangs: frozenset[str] = frozenset()
    flaky: float = 0.0
    takes: float = 10.0
    fails_at: float = 1.0
    misconfigured: bool = False
    jobs: tuple[Job, ...] | None = None

    def __str__(self) -> str:
        return f"{self.name}.{self.number}"

    def __hash__(self) -> int:
        return hash((self.name, self.number))


Patches = frozenset[Patch]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    id: str
    tree: str
    parents: tuple[str, ...]
    patches: Patches


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A branch went from `old` to `new`, by the gate or around it.

    `brought` are the commits from the first above `old` to `new`, by first parents.
    """

    ref: Ref
    old: str | None
    new: str
    by_gate: bool
    brought: tuple[str, ...]


class Git:
    """Every repository of the world. Ids are digests of what they name, as in git."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.heads: dict[Ref, str | None] = {}
        self.moves: list[Move] = []
        self._held: dict[str, frozenset[str]] = {}

    def commit(self, patches: Iterable[Patch], *parents: str) -> Commit:
        held = frozenset(patches)
        tree = _digest("tree", *sorted(map(str, held)))
        made = Commit(
            id=_digest("commit", tree, *parents), tree=tree, parents=parents, patches=held
        )
        self.commits[made.id] = made
        return made

    def on(self, parent: str | None, patch: Patch) -> Commit:
        """A commit that a person makes on `parent`."""
        if parent is None:
            return self.commit([patch])
        return self.commit([*self.commits[parent].patches, patch], parent)

    def merge(self, onto: str | None, commit: str) -> Commit | tuple[str, ...]:
        """The merged commit, or the paths that conflict."""
        if onto is None:
            return self.commits[commit]
        base, ours = self.commits[onto].patches, self.commits[commit].patches
        clash = {
            min(a.name, b.name)
            for a in base - ours
            for b in ours - base
            if b.name in a.conflicts or a.name in b.conflicts
        }
        if clash:
            return tuple(sorted(clash))
        return self.commit(base | ours, onto, commit)

    def compare_and_swap(self, ref: Ref, old: str | None, new: str) -> bool:
        """Move the branch if it is where it is thought to be."""
        if self.heads[ref] != old:
            return False
        self.move(ref, new, by_gate=True)
        return True

    def move(self, ref: Ref, new: str, *, by_gate: bool) -> None:
        old = self.heads[ref]
        brought = self._brought(old, new)
        self.moves.append(Move(ref=ref, old=old, new=new, by_gate=by_gate, brought=brought))
        self.heads[ref] = new

    def _brought(self, old: str | None, new: str) -> tuple[str, ...]:
        found: list[str] = []
        at: str | None = new
        while at is not None and at != old:
            found.append(at)
            at = next(iter(self.commits[at].parents), None)
        return tuple(reversed(found))

    def moves_with(self, ref: Ref, commit: str) -> list[Move]:
        """The moves of the branch that brought the commit into it."""
        return [move for move in self.moves if move.ref == ref and commit in move.brought]

    def own_patch(self, commit: str) -> Patch:
        """What a commit itself changes: what its first parent does not hold."""
        made = self.commits[commit]
        below = self.commits[made.parents[0]].patches if made.parents else frozenset()
        return min(made.patches - below or made.patches, key=str)

    def contains(self, descendant: str | None, ancestor: str) -> bool:
        """Whether `ancestor` is in the history of `descendant`."""
        return descendant is not None and ancestor in self._history(descendant)

    def _history(self, commit: str) -> frozenset[str]:
        """A commit and all its ancestors. Each is asked for soon after its first parent."""
        held = self._held.get(commit)
        if held is None:
            parents = self.commits[commit].parents
            held = frozenset({commit}).union(*map(self._history, parents))
            self._held[commit] = held
        return held

    # What jobs read.

    def read(
        self, job: Job, commit: str, beside: Mapping[str, str], paths: tuple[str, ...]
    ) -> Patches:
        """The patches that a job which reads only these paths can see in a state.

        `beside` are the commits of other projects by name; of those the job sees all.
        """
        own = frozenset(p for p in self.commits[commit].patches if _touches(p.touches, paths))
        return own.union(*(self.commits[beside[name]].patches for name in job.projects))

    def key(self, job: Job, commit: str, beside: Mapping[str, str]) -> str:
        """The digest of what the job says that it depends on."""
        seen = sorted(map(str, self.read(job, commit, beside, job.inputs)))
        return inputs.digest((inputs.definition(job), tuple(seen)))


@functools.cache
def _touches(touched: frozenset[str], paths: tuple[str, ...]) -> bool:
    if not paths or touched == ANYTHING:
        return True
    return any(
        fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(f"{path}/", pattern)
        for path in touched
        for pattern in paths
    )


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def broken(patches: Patches, job: str) -> bool:
    """Whether the job truly fails where it sees these patches together."""
    return any(breaks(patch, patches, job) for patch in patches)


def breaks(patch: Patch, among: Patches, job: str) -> bool:
    """Whether the patch is a reason for the job to fail where it sees these together."""
    repaired = {name for other in among for name in other.repairs}
    if patch not in among or patch.name in repaired:
        return False
    return job in patch.breaks or any(
        (patch.name in other.clashes or other.name in patch.clashes) and other.name not in repaired
        for other in among
        if other is not patch
    )
