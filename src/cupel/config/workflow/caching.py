"""What actions keep from one run to the next, as caches of a job."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from cupel.config.cache import MOST, PathShape
from cupel.config.document import Kind, Scalar
from cupel.config.pattern import PatternShape
from cupel.config.problem import Mark, Problems, show
from cupel.config.shape import Refused
from cupel.config.workflow import expression
from cupel.config.workflow.expression import Call, Literal, Unreadable
from cupel.config.workflow.note import Code, Notes
from cupel.config.workflow.shell import Writer
from cupel.core.cache import JobCache

TOOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pip": (("~/.cache/pip",), ("requirements*.txt", "pyproject.toml")),
    "pipenv": (("~/.cache/pip", "~/.local/share/virtualenvs"), ("Pipfile.lock",)),
    "poetry": (("~/.cache/pypoetry",), ("poetry.lock",)),
    "npm": (("~/.npm",), ("package-lock.json", "npm-shrinkwrap.json")),
    "yarn": (("~/.cache/yarn",), ("yarn.lock",)),
    "pnpm": (("~/.local/share/pnpm/store",), ("pnpm-lock.yaml",)),
    "uv": (("~/.cache/uv",), ("uv.lock",)),
    "go": (("~/go/pkg/mod", "~/.cache/go-build"), ("go.sum",)),
    "maven": (("~/.m2/repository",), ("pom.xml",)),
    "gradle": (("~/.gradle/caches",), ("*.gradle*", "gradle-wrapper.properties")),
    "rust": (("~/.cargo/registry", "~/.cargo/git", "target"), ("Cargo.lock",)),
}
"""Tool → where it keeps what it fetches, and the files that say what that is."""

_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclasses.dataclass(slots=True)
class Caches:
    """Collects those of one job."""

    notes: Notes
    found: dict[str, JobCache] = dataclasses.field(default_factory=dict)

    def of_tool(self, tool: str, at: Mark) -> None:
        if tool in TOOLS:
            paths, files = TOOLS[tool]
            self._add(tool, paths, files, (), at)
        else:
            self.notes.add(at, Code.CACHE, f"it is not known what {show(tool)} keeps")

    def written(self, paths: str, key: str, writer: Writer, at: Mark) -> None:
        """A cache as `actions/cache` has it: `key` is an expression that tells them apart."""
        files: list[str] = []

        def put(found: re.Match[str]) -> str:
            try:
                tree = expression.read(found[1])
            except Unreadable:
                return found[0]
            match tree:
                case Call(function="hashfiles", arguments=patterns):
                    files.extend(
                        each.value
                        for each in patterns
                        if isinstance(each, Literal) and isinstance(each.value, str)
                    )
                    return ""
            return found[0]

        rest = expression.MARKED.sub(put, key)
        text = writer.plain(rest, at) if writer.is_static(rest) else ""
        if not writer.is_static(rest):
            self.notes.add(at, Code.CACHE, f"the key {show(key)} is known in the job only")
        lines = [line.strip() for line in paths.split("\n") if line.strip()]
        text = text.strip("-_ ")
        name = _NAME.sub("-", re.sub(r"\{\{.*?\}\}", "", text)).strip("-_.")[:64] or "cache"
        self._add(name, lines, files, (text,) if "{{" in text else (), at)

    def _add(
        self,
        name: str,
        paths: Sequence[str],
        files: Sequence[str],
        texts: tuple[str, ...],
        at: Mark,
    ) -> None:
        try:
            read = tuple(PathShape().read(_scalar(path, at), Problems()) for path in paths)
            for file in files:
                PatternShape().read(_scalar(file, at), Problems())
        except Refused as refused:
            self.notes.add(at, Code.CACHE, refused.message, refused.hint)
            return
        used = {path for each in self.found.values() for path in each.paths}
        if not read or len(self.found) >= MOST or used & set(read):
            return
        while name in self.found:
            name = f"{name[:60]}-{len(self.found) + 1}"
        self.found[name] = JobCache(name=name, paths=read, files=tuple(files), texts=texts)


def _scalar(text: str, at: Mark) -> Scalar:
    return Scalar(at=at, text=text, kind=Kind.TEXT)
