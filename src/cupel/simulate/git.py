"""Git as a model: a commit is the set of patches that its tree holds; a merge is their union."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

Ref = tuple[int, str]
"""A project's id and the name of a branch."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What one commit changes, and what comes of it.

    It `breaks` some jobs wherever it is, `clashes` with patches of other names (a job fails where
    both are) and `conflicts` with others (they do not merge). `flaky` is how often a job fails for
    no reason. `takes` is how many seconds the builds of its change run.
    """

    name: str
    number: int = 1
    breaks: frozenset[str] = frozenset()
    clashes: frozenset[str] = frozenset()
    conflicts: frozenset[str] = frozenset()
    flaky: float = 0.0
    takes: float = 10.0
    misconfigured: bool = False

    def __str__(self) -> str:
        return f"{self.name}.{self.number}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    id: str
    tree: str
    parents: tuple[str, ...]
    patches: frozenset[Patch]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A branch went from `old` to `new`, by the gate or around it."""

    ref: Ref
    old: str | None
    new: str
    by_gate: bool


class Git:
    """Every repository of the world. Ids are digests of what they name, as in git."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.heads: dict[Ref, str | None] = {}
        self.moves: list[Move] = []

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
        self.moves.append(Move(ref=ref, old=self.heads[ref], new=new, by_gate=by_gate))
        self.heads[ref] = new

    def own_patch(self, commit: str) -> Patch:
        """What a commit itself changes: what its first parent does not hold."""
        made = self.commits[commit]
        below = self.commits[made.parents[0]].patches if made.parents else frozenset()
        return min(made.patches - below or made.patches, key=str)

    def contains(self, descendant: str | None, ancestor: str) -> bool:
        """Whether `ancestor` is in the history of `descendant`."""
        pending, seen = [descendant], set()
        while pending:
            at = pending.pop()
            if at == ancestor:
                return True
            if at is not None and at not in seen:
                seen.add(at)
                pending += self.commits[at].parents
        return False


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def broken(patches: frozenset[Patch], job: str) -> bool:
    """Whether the job truly fails where these patches are together."""
    names = {patch.name for patch in patches}
    return any(job in patch.breaks or patch.clashes & names for patch in patches)
