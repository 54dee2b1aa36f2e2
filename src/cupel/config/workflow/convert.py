"""All workflows of a repository as one configuration."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from cupel.config import document, load, render
from cupel.config.document import Table, Value
from cupel.config.job import MAIN_FILE, JobConfig
from cupel.config.problem import ConfigErrors, Mark, Problems, show
from cupel.config.project import ProjectConfig
from cupel.config.workflow import expression, job, tree
from cupel.config.workflow.note import Code, Note, Notes
from cupel.config.workflow.step import SUPPORT, SUPPORT_FILE

FILES = re.compile(r"\.(?:github|forgejo|gitea)/workflows/[^/]+\.ya?ml")
CHANGES = frozenset({"push", "pull_request", "pull_request_target", "merge_group"})
MACHINE = "debian-12-net"

_HEAD = """\
# Imported from {files} by `cupel import github`. The machine of every job is a
# plain Debian with a network, not an image of GitHub: what jobs need they install.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The configuration, the files that say it, and what could not be carried over."""

    config: ProjectConfig
    files: Mapping[str, str]
    notes: tuple[Note, ...]


def convert(files: Mapping[str, str], machine: str = MACHINE) -> Imported:
    """The workflows in files, path → text, as jobs on machines of that label.

    Raises `ConfigErrors` where one is no YAML. Where nothing is left there are no jobs; whatever
    there is can be loaded.
    """
    notes = Notes()
    importing = _Importing(notes, machine)
    problems = Problems()
    trees = [(path, document.read(path, files[path], problems)) for path in sorted(files)]
    problems.raise_any()
    for path, found in trees:
        if found is not None:
            importing.add(path, found)
    config = importing.config()
    names = ", ".join(PurePosixPath(path).name for path in sorted(files))
    head = _HEAD.format(files=names if len(names) < 40 else f"{len(files)} workflows")
    made = {MAIN_FILE: f"{head}{_told(notes.all())}{render.render_yaml(config)}"}
    if any(value == SUPPORT_FILE for each in config.jobs.values() for _, value in each.env):
        made[SUPPORT_FILE] = SUPPORT
    if config.jobs:
        config = load.load(made, tuple(made)).config  # with places, in what was written
    return Imported(config=config, files=made, notes=notes.all())


def _told(notes: tuple[Note, ...]) -> str:
    """The notes as comments, for whoever goes on from here."""
    if not notes:
        return ""
    lines = [f"#   {note.at}: {note.code}: {note.message}" for note in notes]
    return "\n".join(["#", "# Not carried over:", *lines, "#", ""])


@dataclasses.dataclass(slots=True)
class _Wanted:
    """A job that was carried over, and what it is to wait for."""

    job: JobConfig
    landed: bool
    needs: list[tuple[str, Mark]]


class _Importing:
    """Collects the jobs of one workflow after the other."""

    def __init__(self, notes: Notes, machine: str) -> None:
        self._notes = notes
        self._machine = machine
        self._jobs: dict[str, _Wanted] = {}

    def add(self, path: str, found: Value) -> None:
        if not self._is_for_changes(tree.get(found, "on"), found):
            return
        flow = job.Workflow(
            machine=self._machine,
            env=tree.get(found, "env"),
            defaults=tree.get(found, "defaults"),
        )
        entries = tree.entries(tree.get(found, "jobs"))
        names = {entry.key.text: self._named(path, entry.key.text) for entry in entries}
        uploaded = _uploaded(found)
        for entry in entries:
            name = names[entry.key.text]
            made = job.convert(name, entry.key.at, entry.value, flow, self._notes)
            if made is None or not self._is_good(made.job, entry.key.at):
                continue
            self._note_downloads(entry.value, uploaded)
            needs = [
                (names.get(tree.text(each), ""), each.at)
                for each in tree.items(tree.get(entry.value, "needs"))
            ]
            self._jobs[name] = _Wanted(job=made.job, landed=made.landed, needs=needs)

    def _is_for_changes(self, on: Value | None, found: Value) -> bool:
        """Whether changes are what the workflow runs for; notes what else starts it."""
        events = {entry.key.text: entry.value for entry in tree.entries(on)}
        named = set(events) or {tree.text(each) for each in tree.items(on)}
        at = on.at if on is not None else found.at
        push = events.get("push")
        tagged = tree.get(push, "tags") is not None and tree.get(push, "branches") is None
        started = (named & CHANGES) - ({"push"} if tagged else set())
        if not started:
            what = ", ".join(sorted(named)) or "nothing"
            self._notes.add(
                at, Code.TRIGGER, f"the workflow runs for {show(what)}, not for changes"
            )
            return False
        if "schedule" in named:
            self._notes.add(at, Code.TRIGGER, "the workflow runs on a schedule, too",
                            "start it elsewhere; changes are what jobs run for")  # fmt: skip
        for event in sorted(started):
            for key in ("paths", "paths-ignore"):
                if (value := tree.get(events.get(event), key)) is not None:
                    message = f"{event} of some paths only: the jobs run for all"
                    self._notes.add(value.at, Code.PATHS, message)
        return True

    def _named(self, path: str, name: str) -> str:
        """A name for a job that no other has: its own, else with that of its workflow."""
        own = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip("_.-")[:64] or "job"
        stem = re.sub(r"[^A-Za-z0-9_.-]", "-", PurePosixPath(path).stem).lstrip("_.-")
        tried = [own, f"{stem}-{own}".lstrip("-")[:64]]
        tried += [f"{own[:58]}-{number}" for number in range(2, 1000)]
        return next((each for each in tried if each not in self._jobs), own)

    def _is_good(self, made: JobConfig, at: Mark) -> bool:
        """Whether Cupel takes the job as it is; what else is wrong with it is noted."""
        alone = dataclasses.replace(made, voting=True)
        config = ProjectConfig(jobs={made.name: alone}, gate=(made.name,))
        try:
            load.load({".cupel.yaml": render.render_yaml(config)}, [".cupel.yaml"])
        except ConfigErrors as errors:
            problem = errors.problems[0]
            message = f"the job {show(made.name)} cannot be written: {problem.message}"
            self._notes.add(at, Code.MALFORMED, message, problem.hint or "change the workflow")
            return False
        return True

    def _note_downloads(self, value: Value, uploaded: list[str]) -> None:
        for step in tree.items(tree.get(value, "steps")):
            uses = tree.get(step, "uses")
            if uses is None or tree.text(uses).partition("@")[0] != "actions/download-artifact":
                continue
            name = tree.text(tree.get(step, "with", "name"))
            name = name or tree.text(tree.get(step, "with", "pattern")) or "*"
            if not any(_meet(_open(name), each) for each in uploaded):
                message = f"no step of these jobs uploads the artefact {show(name)}"
                self._notes.add(uses.at, Code.ARTEFACT, message)

    def config(self) -> ProjectConfig:
        """All of it, with needs resolved and a pipeline for each job."""
        jobs = {}
        for name, wanted in self._jobs.items():
            needs = []
            for need, at in wanted.needs:
                if need in self._jobs and need != name:
                    needs.append(need)
                else:
                    message = f"the job {show(name)} needs one that was not carried over"
                    self._notes.add(at, Code.NEEDS, message)
            jobs[name] = dataclasses.replace(wanted.job, needs=tuple(dict.fromkeys(needs)))
        gate = tuple(name for name, wanted in self._jobs.items() if not wanted.landed)
        post = tuple(name for name, wanted in self._jobs.items() if wanted.landed)
        return self._checked(ProjectConfig(jobs=jobs, check=gate, gate=gate, post=post))

    def _checked(self, config: ProjectConfig) -> ProjectConfig:
        """The configuration so that it can be loaded: a job votes, and needs are no circle."""
        if not config.gate:
            return ProjectConfig(jobs={})
        at = config.jobs[config.gate[0]].at
        if not any(config.jobs[name].voting for name in config.gate):
            message = "all jobs continue on an error; the first votes now"
            self._notes.add(at, Code.OPTION, message, "say which failures count by `voting`")
            first = dataclasses.replace(config.jobs[config.gate[0]], voting=True)
            config = dataclasses.replace(config, jobs={**config.jobs, first.name: first})
        try:
            load.load({".cupel.yaml": render.render_yaml(config)}, [".cupel.yaml"])
        except ConfigErrors as errors:
            self._notes.add(at, Code.NEEDS, errors.problems[0].message, "write `needs` by hand")
            jobs = {name: dataclasses.replace(each, needs=()) for name, each in config.jobs.items()}
            return dataclasses.replace(config, jobs=jobs)
        return config


def _uploaded(found: Value) -> list[str]:
    """The names of artefacts that steps upload, as patterns."""
    names = []
    for entry in tree.entries(tree.get(found, "jobs")):
        for step in tree.items(tree.get(entry.value, "steps")):
            uses = tree.text(tree.get(step, "uses")).partition("@")[0]
            if isinstance(step, Table) and uses == "actions/upload-artifact":
                names.append(_open(tree.text(tree.get(step, "with", "name")) or "artifact"))
    return names


def _open(name: str) -> str:
    """The name with all that is not known as a wildcard."""
    return expression.MARKED.sub("*", name)


def _meet(one: str, other: str) -> bool:
    return fnmatch.fnmatchcase(one, other) or fnmatch.fnmatchcase(other, one)
