"""What an image is made of, and the hash by which two equal definitions are known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator

from cupel.config.image import ImageConfig
from cupel.image import system

RECIPE = 4
"""Raised when `build` makes something else of the same definition."""

_BESIDE = ("name", "refresh", "size")
"""What says nothing about what is in the image."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An image to build for an `architecture`; its packages are sorted and without doubles."""

    config: ImageConfig
    architecture: str

    @property
    def hash(self) -> str:
        """Hex; equal for equal definitions on every computer."""
        parts = dataclasses.asdict(self.config)
        for key in _BESIDE:
            del parts[key]
        if self.config.system is None:
            del parts["system"]  # as before there were any: the same images
        else:
            parts["system"] = system.identity(self.config.system)
        canonical = json.dumps(
            [RECIPE, self.architecture, parts], separators=(",", ":"), sort_keys=True
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def text(self) -> str:
        """In a line, for people."""
        config = self.config
        if config.system is not None:
            words = " ".join(("boots", *system.paths(config.system)))
        else:
            base = config.suite or config.oci or (config.tar.path if config.tar else "")
            words = " ".join((base, self.architecture, *config.packages))
        text = "; ".join([words, *_beside_packages(config)])
        return f"{config.name}: {text}" if config.name else text

    @property
    def is_provisioned(self) -> bool:
        """Whether there is more to do than to lay out the base."""
        config = self.config
        late = config.packages if config.suite is None else ()
        prefetch = any(dataclasses.astuple(config.prefetch))
        return bool(late or config.files or prefetch or config.steps or config.playbook)


def _beside_packages(config: ImageConfig) -> Iterator[str]:
    """What else an image is made of, in words."""
    for tool, wanted in dataclasses.asdict(config.prefetch).items():
        if wanted:
            yield f"prefetched for {tool}: {' '.join(wanted)}"
    for count, what in ((len(config.files), "file"), (len(config.steps), "step")):
        if count:
            yield f"{count} {what}{'s' if count > 1 else ''}"
    if config.playbook is not None:
        yield "a playbook"


def define(config: ImageConfig, architecture: str) -> Definition:
    packages = tuple(sorted(set(config.packages)))
    return Definition(
        config=dataclasses.replace(config, packages=packages), architecture=architecture
    )
