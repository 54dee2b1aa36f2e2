"""Passes of runs on people's own computers, which they offer as evidence.

Such a pass is somebody's word. It is kept with a build that says whose, so that whoever meets it
can see that; and only where nothing but the verdict is needed: what the job left is not here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cupel.core import events, evidence
from cupel.core.draft import Draft
from cupel.core.key import combine
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Evidence,
    Item,
    ItemState,
    Job,
    Pipeline,
    Usage,
    Verdict,
)
from cupel.core.offer import Offer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a pass is not taken, and what to do instead."""

    text: str
    hint: str | None = None


def unfit(job: Job, jobs: Sequence[Job]) -> Refusal | None:
    """Why no pass of the job is taken, whoever offers it; `jobs` are all of the commit."""
    if not job.evidence:
        return Refusal(text=f"a pass of {job.name} is never reused: it says `evidence: never`")
    if job.needs:
        return Refusal(
            text=f"{job.name} needs {', '.join(job.needs)}, and what they left elsewhere is not"
            " known here"
        )
    users = [each.name for each in jobs if job.name in each.needs]
    if users:
        return Refusal(
            text=f"{', '.join(users)} needs what {job.name} leaves, and a pass that is offered"
            " comes without it"
        )
    if job.projects:
        return Refusal(
            text=f"{job.name} depends on projects beside its own ({', '.join(job.projects)}), which"
            " are not the same everywhere"
        )
    return None


def other_image(draft: Draft, job: Job, image: str) -> Refusal | None:
    """Why a run on these images (`key.together`) says nothing of what would be run here."""
    present = evidence.images_of(draft, job)
    labels = ", ".join(dict.fromkeys(job.labels))
    if present is None:
        return Refusal(
            text=f"the connected hosts do not all have the same image of {labels}",
            hint="offer it when they do: `cupel host list` has them",
        )
    if present != image:
        return Refusal(
            text=f"{job.name} ran on {image}, but the image of {labels} is {present} here",
            hint="run it with --url, which fetches the server's images",
        )
    return None


def known(draft: Draft, key: str) -> Refusal | None:
    """Why a pass of this key is not needed, or not believed."""
    found = [each for each in draft.all(Evidence) if each.key == key]
    withdrawn = next((each for each in found if each.withdrawn_at is not None), None)
    if withdrawn is not None:
        return Refusal(
            text=f"an audit has refuted a pass of the same: build {withdrawn.refuted_by} failed",
            hint="list in its `inputs` all that the job depends on",
        )
    if found:
        return Refusal(text=f"it has passed already, as build {found[0].build_id}")
    return None


def offered(draft: Draft, fact: events.PassOffered) -> None:
    """Keep the pass with a build that was not run here. Changes nothing where it is refused."""
    key = combine(fact.key, fact.image, ())
    if unfit(fact.job, ()) or other_image(draft, fact.job, fact.image) or known(draft, key):
        return
    build = _finished(draft, fact, key)
    draft.put(build)
    text = f"{fact.job.name} has passed on {fact.host}"
    draft.tell(
        "evidence.offered",
        text,
        project_id=fact.project_id,
        item_id=build.item_id,
        build_id=build.id,
        user=fact.user,
    )
    evidence.keep(draft, build, key)


def _finished(draft: Draft, fact: events.PassOffered, key: str) -> Build:
    """A build of an item of its own, both of which have ended: nothing is planned for them."""
    item = _item(draft, fact)
    job = fact.job
    return Build(
        id=draft.new_id(),
        buildset_id=_state(draft, fact, item).id,
        item_id=item.id,
        project_id=fact.project_id,
        pipeline=item.pipeline,
        job=job.name,
        label=job.label,
        attempt=1,
        voting=job.voting,
        state=BuildState.FINISHED,
        verdict=Verdict.SUCCESS,
        reason=None,
        machine_id=None,
        steps=(),
        usage=Usage(),
        queued_at=draft.now - fact.seconds,
        started_at=draft.now - fact.seconds,
        finished_at=draft.now,
        key=key,
        parts=job.parts,
        offer=Offer(by=fact.user, host=fact.host),
    )


def _item(draft: Draft, fact: events.PassOffered) -> Item:
    """It is of no change, so that it is nobody's check: those ask for all of their jobs."""
    number = draft.new_id()
    return draft.put(
        Item(
            id=number,
            pipeline=Pipeline.CHECK,
            project_id=fact.project_id,
            branch=fact.branch,
            change_id=None,
            patch_set=None,
            commit=fact.commit,
            state=ItemState.PASSED,
            position=number,
            buildset_id=draft.new_id(),
            enqueued_at=draft.now,
            finished_at=draft.now,
        )
    )


def _state(draft: Draft, fact: events.PassOffered, item: Item) -> Buildset:
    assert item.buildset_id is not None
    return draft.put(
        Buildset(
            id=item.buildset_id,
            item_id=item.id,
            number=1,
            onto=None,
            state=BuildsetState.READY,
            commit=fact.commit,
            tree=fact.tree,
            jobs=(fact.job,),
            detail=None,
            notice=None,
            created_at=draft.now,
            finished_at=draft.now,
            keys=((fact.job.name, fact.key),),
        )
    )
