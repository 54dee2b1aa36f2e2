"""Proves from the outside, with git alone, that what landed is what was tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cupel.demo import releases
from cupel.demo.server import Api


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """A landed commit of the branch, its tree there, and the tree that its builds ran on."""

    change: int
    commit: str
    tree: str
    tested: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`tree` is that of the branch's head."""

    head: str
    tree: str
    landings: tuple[Landing, ...]

    @property
    def verified(self) -> bool:
        """Every landed tree was tested, and the branch stands at the last of them."""
        return (
            bool(self.landings)
            and all(landing.tree == landing.tested for landing in self.landings)
            and self.landings[-1].commit == self.head
        )


async def verify(api: Api, clone: Path, landed: Sequence[dict[str, Any]]) -> Proof:
    """Clone the branch and compare it with what the API says was tested."""
    clone.mkdir(parents=True)
    await releases.git(
        clone, "clone", "--quiet", f"{api.url}/{releases.PACKAGE}.git", ".",
        env=api.git_env,
    )  # fmt: skip
    order = (await _git(clone, "rev-list", "--first-parent", "--reverse", "HEAD")).split()
    contained = set((await _git(clone, "rev-list", "HEAD")).split())
    landings = [
        Landing(
            change=change["id"],
            commit=change["landed_commit"],
            tree=await _git(clone, "rev-parse", f"{change['landed_commit']}^{{tree}}"),
            tested=_tested(change),
        )
        for change in landed
        if change["landed_commit"] in contained
    ]
    landings.sort(
        key=lambda landing: order.index(landing.commit) if landing.commit in order else -1
    )
    return Proof(
        head=await _git(clone, "rev-parse", "HEAD"),
        tree=await _git(clone, "rev-parse", "HEAD^{tree}"),
        landings=tuple(landings),
    )


def _tested(change: dict[str, Any]) -> str | None:
    """The tree on which every voting build of the landing passed."""
    for history in change["items"]:
        if history["item"]["state"] != "landed":
            continue
        for buildset in history["buildsets"]:
            voting = [build for build in buildset["builds"] if build["voting"]]
            if buildset["commit"] == change["landed_commit"] and voting:
                passed = {build["job"] for build in voting if build["verdict"] == "success"}
                if passed == {build["job"] for build in voting}:
                    return str(buildset["tree"])
    return None


async def _git(clone: Path, *args: str) -> str:
    return (await releases.git(clone, *args)).out.decode().strip()
