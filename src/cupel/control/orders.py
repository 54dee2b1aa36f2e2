"""What a host is told to make and to run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cupel.config.server import CachesConfig, LabelConfig, ServerConfig
from cupel.core import cache, nodes
from cupel.core.cache import Wanted
from cupel.core.job import Job, Step
from cupel.git.repository import state_ref
from cupel.host import messages
from cupel.image import definition

if TYPE_CHECKING:
    from cupel.core import actions
    from cupel.core.model import Item, Project
    from cupel.image.keeper import Keeper


def build_spec(action: actions.RunBuild, url: str, config: ServerConfig) -> messages.BuildSpec:
    assert action.buildset.commit is not None
    project, item, job = action.project, action.item, action.job
    about = _about(item.change_id, item.patch_set, item.pipeline)
    if action.failed:
        last = job.steps[-1]
        steps = (*job.steps[:-1], dataclasses.replace(last, run=last.rerun_failed))
        job = dataclasses.replace(job, steps=steps)
        about = {**about, **nodes.variables(action.failed)}
    return job_spec(
        job,
        tuple(machine.id for machine in (action.machine, *action.others)),
        build=action.build.id,
        project=project.name,
        source=messages.SourceSpec(
            url=f"{url}/{project.name}.git",
            ref=state_ref(action.buildset.id),
            commit=action.buildset.commit,
            branch=item.branch,
        ),
        about=about,
        needs=tuple(
            messages.NeedSpec(job=name, url=f"{url}/api/builds/{build}/artefacts.tar?records=false")
            for name, build in action.needed
        ),
        beside=tuple(_beside(beside, commit, item, url) for beside, commit in action.beside),
        caches=action.caches,
        config=config,
    )


def job_spec(
    job: Job,
    machines: Sequence[int],
    *,
    build: int,
    project: str,
    source: messages.SourceSpec,
    about: Mapping[str, str],
    needs: tuple[messages.NeedSpec, ...],
    beside: tuple[messages.BesideSpec, ...],
    caches: Sequence[Wanted] = (),
    config: ServerConfig,
) -> messages.BuildSpec:
    """A build of the job on `machines`, its own first; `about` are variables that tell of it."""
    return messages.BuildSpec(
        build=build,
        project=project,
        job=job.name,
        source=source,
        steps=tuple(_step(step) for step in job.steps),
        env=(*job.env, *about.items()),
        needs=needs,
        beside=beside,
        timeout=job.timeout,
        log_limit=config.log_limit,
        artefact_limit=config.artefact_limit,
        result_limit=config.result_limit,
        parts=tuple(
            messages.PartSpec(name=part.name, machine=machine)
            for part, machine in zip(job.parts, machines if job.parts else (), strict=True)
        ),
        services=tuple(messages.ServiceSpec(**dataclasses.asdict(each)) for each in job.services),
        caches=tuple(_cache(each, build, config.caches) for each in caches),
        links=tuple(messages.LinkSpec(**dataclasses.asdict(each)) for each in job.links),
    )


def _cache(wanted: Wanted, build: int, config: CachesConfig) -> messages.CacheSpec:
    found, limit = wanted.restore, min(config.room, config.share)
    return messages.CacheSpec(
        name=wanted.cache.name,
        paths=wanted.cache.paths,
        restore=found.file if found is not None else "",
        origin=found.build_id if found is not None else None,
        exact=wanted.exact,
        save=cache.file_of(build, wanted.cache.name) if wanted.save and limit else "",
        if_changed=wanted.if_changed,
        limit=limit,
    )


def _step(step: Step) -> messages.StepSpec:
    boot = None if step.boot is None else messages.BootSpec(**dataclasses.asdict(step.boot))
    return messages.StepSpec(name=step.name, run=step.run, on=step.on, boot=boot)


def _beside(project: Project, commit: str, item: Item, url: str) -> messages.BesideSpec:
    # By its id: no ref of that repository need name the state that the commit is of.
    source = messages.SourceSpec(
        url=f"{url}/{project.name}.git", ref=commit, commit=commit, branch=item.branch
    )
    return messages.BesideSpec(project=project.name, source=source)


def _about(change: int | None, patch_set: int | None, pipeline: str) -> dict[str, str]:
    about = {"CUPEL_PIPELINE": str(pipeline)}
    if change is not None:
        about |= {"CUPEL_CHANGE": str(change), "CUPEL_PATCH_SET": str(patch_set)}
    return about


def machine_spec(
    name: str, label: LabelConfig, *, digest: str | None = None, coming: bool = False
) -> messages.MachineSpec:
    """What a host is told of a label: `digest` is that of the image that it shall fetch, once that
    is not `coming` any more."""
    return messages.MachineSpec(
        label=name,
        image=label.image,
        digest=digest,
        coming=coming,
        provider=label.provider,
        init=label.init,
        network=label.network,
        allow=label.allow,
        cpus=label.cpus,
        memory=label.memory,
        disk=label.disk,
        pids=label.pids,
    )


def offered_spec(
    name: str, label: LabelConfig, images: Keeper, architecture: str
) -> messages.MachineSpec:
    """The same for a computer of this one's architecture, which fetches the image from here."""
    made = definition.define(label.image, architecture)
    digest, coming = images.offered(made), images.is_coming(made)
    return machine_spec(name, label, digest=digest, coming=coming)
