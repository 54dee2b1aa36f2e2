"""Proves from the outside, with git alone, that what landed is what was tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cupel.control import views
from cupel.core.model import ItemState, Verdict
from cupel.demo import releases


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """A landed commit of the branch, its tree there, and the tree that its builds ran on."""

    change: int
    commit: str
    tree: str
    tested: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`tree` is that of the branch's head; `complete`: all that landed is on the branch."""

    head: str
    tree: str
    complete: bool
    landings: tuple[Landing, ...]

    @property
    def verified(self) -> bool:
        """Every landed tree was tested, and the branch stands at the last of them."""
        return (
            self.complete
            and bool(self.landings)
            and all(landing.tree == landing.tested for landing in self.landings)
            and self.landings[-1].commit == self.head
        )


async def verify(work: Path, clone: Path, landed: Sequence[views.ChangeView]) -> Proof:
    """Clone what `work` has as its remote, and compare it with what the API says was tested."""
    url = await _git(work, "remote", "get-url", "cupel")
    clone.mkdir(parents=True)
    await releases.git(clone, "clone", "--quiet", url, ".")
    order = (await _git(clone, "rev-list", "--first-parent", "--reverse", "HEAD")).split()
    commits = {change.landed_commit: change for change in landed}
    landings = [
        Landing(
            change=commits[commit].id,
            commit=commit,
            tree=await _git(clone, "rev-parse", f"{commit}^{{tree}}"),
            tested=_tested(commits[commit]),
        )
        for commit in order
        if commit in commits
    ]
    return Proof(
        head=await _git(clone, "rev-parse", "HEAD"),
        tree=await _git(clone, "rev-parse", "HEAD^{tree}"),
        complete=len(landings) == len(landed),
        landings=tuple(landings),
    )


def _tested(change: views.ChangeView) -> str | None:
    """The tree on which every voting build of the landing passed."""
    for history in change.items:
        if history.item.state is not ItemState.LANDED:
            continue
        for buildset in history.buildsets:
            voting = {build.job for build in buildset.builds if build.voting}
            passed = {build.job for build in buildset.builds if build.verdict is Verdict.SUCCESS}
            if buildset.commit == change.landed_commit and voting and voting <= passed:
                return buildset.tree
    return None


async def _git(clone: Path, *args: str) -> str:
    return (await releases.git(clone, *args)).out.decode().strip()
