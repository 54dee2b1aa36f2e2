"""The one entry to a project's configuration: what its files say, or else what they suggest."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence

from cupel.config import freeze, project
from cupel.config.problem import Mark, Problems
from cupel.config.project import ProjectConfig

_MISNAMED = re.compile(r"\.cupel\.yml|\.cupel/[^/]+\.yml")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A good configuration, and what its author should be told of it."""

    config: ProjectConfig
    notice: str | None = None


def config_paths(listing: Sequence[str]) -> tuple[str, ...]:
    """Of a repository's paths those whose content `load` needs."""
    configured = tuple(sorted(path for path in listing if project.is_file(path)))
    if configured:
        return configured
    from cupel.config import detect

    return detect.wanted(listing)


def load(
    files: Mapping[str, str], listing: Sequence[str], labels: Collection[str] | None = None
) -> Loaded:
    """Read or detect a project's configuration.

    `files` maps at least the `config_paths` of `listing`, the repository's files, to their text.
    A configuration file without a text counts as empty: what to run is then not guessed.
    `labels` are those of the machines that there are; None if that is not known here. Raises
    `ConfigErrors` with everything that is wrong. Without a file and with nothing to detect, the
    configuration has no jobs, which `freeze` refuses.
    """
    _refuse_misnamed(listing)
    paths = [path for path in {*files, *listing} if project.is_file(path)]
    if not paths:
        offered = labels if isinstance(labels, Mapping) else None
        from cupel.config import detect

        detected = detect.detect(files, listing, offered)
        return Loaded(config=detected.config, notice=detected.notice)
    config = project.parse({path: files.get(path, "") for path in paths})
    freeze.check(config, labels)
    return Loaded(config=config)


def _refuse_misnamed(listing: Sequence[str]) -> None:
    problems = Problems()
    for path in listing:
        if _MISNAMED.fullmatch(path):
            name = path.removesuffix(".yml") + ".yaml"
            problems.add(Mark(path), "Cupel does not read this name", f"rename it to {name}")
    problems.raise_any()
