"""A configuration as the text of a `.cupel.yaml` that says the same."""

from __future__ import annotations

from typing import Any

import yaml

from cupel.config import boot, quantity
from cupel.config.job import DEFAULT_TIMEOUT, JobConfig, first_line
from cupel.config.matrix import Matrix
from cupel.config.project import ProjectConfig
from cupel.config.together import OWN
from cupel.core.cache import JobCache
from cupel.core.job import Boot, Link, Service, Step


class _Dumper(yaml.SafeDumper):
    """Writes scripts of several lines as blocks, and short lists on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    short = all(isinstance(item, str) and "\n" not in item for item in items)
    flow = short and sum(map(len, items)) < 60
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def render_yaml(config: ProjectConfig) -> str:
    """YAML that `project.parse` reads back as an equal configuration."""
    document: dict[str, Any] = {"jobs": {name: _job(job) for name, job in config.jobs.items()}}
    for pipeline in ("check", "gate", "post"):
        names = getattr(config, pipeline)
        if names:
            document[pipeline] = list(names)
    if config.semaphores:
        document["semaphores"] = dict(config.semaphores)
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )


def _job(job: JobConfig) -> dict[str, Any]:
    written: dict[str, Any] = _machines(job)
    if job.matrix is not None:
        written["matrix"] = _matrix(job.matrix)
    if job.needs:
        written["needs"] = list(job.needs)
    if job.env:
        written["env"] = dict(job.env)
    if job.inputs:
        written["inputs"] = list(job.inputs)
    if job.timeout != DEFAULT_TIMEOUT:
        written["timeout"] = quantity.duration(job.timeout)
    if job.hold:
        written["hold"] = quantity.duration(job.hold)
    if not job.evidence:
        written["evidence"] = "never"
    if job.projects:
        written["projects"] = list(job.projects)
    if job.semaphores:
        written["semaphore"] = list(job.semaphores)
    if job.caches:
        written["cache"] = [_cache(each) for each in job.caches]
    if not job.voting:
        written["voting"] = False
    written["steps"] = [_step(step) for step in job.steps]
    return written


def _machines(job: JobConfig) -> dict[str, Any]:
    own = not job.parts or job.parts[0].name == OWN
    served = {service.name: service for service in job.services}
    written: dict[str, Any] = {"machine": job.machine} if own else {}
    labels = {part.name: part.label for part in job.parts[1 if own else 0 :]}
    if named := {name: label for name, label in labels.items() if name not in served}:
        written["machines"] = named
    if served:
        written["services"] = {
            name: _service(service, labels[name]) for name, service in served.items()
        }
    if job.links:
        written["links"] = [_link(link) for link in job.links]
    return written


def _cache(cache: JobCache) -> dict[str, Any]:
    written: dict[str, Any] = {"name": cache.name, "path": list(cache.paths)}
    if cache.files:
        written["files"] = list(cache.files)
    for text in cache.texts:
        written["key"] = text
    return written


def _service(service: Service, label: str) -> str | dict[str, Any]:
    written: dict[str, Any] = {"machine": label}
    if service.run:
        written["run"] = service.run
    if service.health:
        written["health"] = service.health
    if service.ports:
        written["ports"] = list(service.ports)
    if service.timeout != Service(name="").timeout:
        written["timeout"] = quantity.duration(service.timeout)
    return label if len(written) == 1 else written


def _link(link: Link) -> dict[str, Any]:
    written: dict[str, Any] = {"between": [link.one, link.other]}
    for key in ("delay", "loss", "rate"):
        if value := getattr(link, key):
            written[key] = value
    return written | ({"down": True} if link.cut else {})


def _step(step: Step) -> str | dict[str, Any]:
    if step.boot is not None:
        return ({} if step.name == boot.NAME else {"name": step.name}) | {"boot": _boot(step.boot)}
    name = {} if step.name == first_line(step.run) else {"name": step.name}
    rest: dict[str, Any] = {"on": step.on} if step.on else {}
    if step.failed_tests is not None:
        rest["failed-tests"] = step.failed_tests
    if step.rerun_failed:
        rest["rerun-failed"] = step.rerun_failed
    return name | {"run": step.run} | rest if name or rest else step.run


def _boot(rule: Boot) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for key, texts in (("expect", rule.expect), ("fail", rule.fail)):
        if texts:
            written[key] = list(texts)
    if rule.exit is not None or rule.off:
        written["exit"] = boot.OFF if rule.off else rule.exit
    return written


def _matrix(matrix: Matrix) -> dict[str, Any]:
    written: dict[str, Any] = {name: list(values) for name, values in matrix.axes}
    if matrix.include:
        written["include"] = [dict(cell) for cell in matrix.include]
    if matrix.exclude:
        written["exclude"] = [dict(cell) for cell in matrix.exclude]
    return written
