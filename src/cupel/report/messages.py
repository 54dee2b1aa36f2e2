"""Every text that a user sees and that is more than a label, in one place.

Nothing here decides anything: the arguments are what happened, the result is how it is said.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from cupel.core import visit
from cupel.core.cache import Cache, CacheState, CacheUse
from cupel.core.model import (
    Build,
    Buildset,
    BuildsetState,
    BuildState,
    Change,
    Item,
    ItemState,
    PatchSet,
    Pipeline,
    Purpose,
    Reason,
    Verdict,
)
from cupel.core.results import Tally
from cupel.core.timeline import Phase

# Why an item left its pipeline without landing or passing.

REASONS: Mapping[Reason, str] = {
    Reason.BUILD_FAILED: "a job failed",
    Reason.TIMED_OUT: "a job took too long",
    Reason.CONFLICT: "it conflicts with what it would land on",
    Reason.MISCONFIGURED: "its configuration can't be used",
    Reason.INFRASTRUCTURE: "the infrastructure failed, not the change",
    Reason.CYCLE: "it and what it needs need each other in a circle, which is not allowed",
    Reason.NEEDS_LEFT: "a change that it needs left the gate",
    Reason.NEW_PATCH_SET: "a newer patch set took its place",
    Reason.ABANDONED: "the change was abandoned",
    Reason.DEQUEUED: "it was taken out of the queue",
    Reason.UNAPPROVED: "it lacks the approvals that the project asks for",
    Reason.ENTERED_GATE: "the change went on to the gate",
}

_SAID_BY_DETAIL = frozenset({Reason.BUILD_FAILED, Reason.TIMED_OUT, Reason.CONFLICT})
"""Reasons whose detail says the same and more: which job failed, what conflicts."""


def item_reason(reason: Reason | None, detail: str | None) -> str | None:
    """Why an item ended, as a sentence without its full stop; None if there is nothing to say."""
    if reason is None or (detail and reason in _SAID_BY_DETAIL):
        return detail
    return f"{REASONS[reason]}: {detail}" if detail else REASONS[reason]


# Why builds are made, and what their time goes to.

PURPOSES: Mapping[Purpose, str] = {
    Purpose.RETRY: "again, since the infrastructure failed it",
    Purpose.RERUN: "again, to see whether the failure comes back",
    Purpose.AUDIT: "to prove again what is reused",
    Purpose.ASKED: "again, since somebody asked for it",
}
"""Why a build is no first attempt."""

PHASES: Mapping[Phase, str] = {
    Phase.QUEUED: "waited for a machine",
    Phase.MAKING: "the machine was made",
    Phase.BEGINNING: "source, caches and services",
    Phase.SAVING: "results and artefacts were saved",
}


# How two builds differ.

_ALIKE = ("image", "host", "processor", "label")
"""Facts that are named; of all others but the commit it is said that the definition differs."""


def since(
    *, landed: int | None, more: bool, differing: Sequence[str], packages: int | None, tests: int
) -> str:
    """What has changed between two builds of a job, in a clause."""
    said = []
    if tests:
        said.append(f"{tests} {'tests have' if tests > 1 else 'test has'} begun to fail")
    if landed:
        count = f"more than {landed}" if more else str(landed)
        said.append(f"{count} {'commits have' if landed > 1 else 'commit has'} landed")
    for name in _ALIKE:
        if name in differing:
            of_image = (
                f", of which {packages} {'package differs' if packages == 1 else 'packages differ'}"
                if packages
                else ""
            )
            said.append(f"another {name}{of_image if name == 'image' else ''}")
    if set(differing) - {*_ALIKE, "merged onto"}:
        said.append("another definition of the job")
    return f"since then: {', '.join(said)}" if said else "nothing else is known to differ"


# What something waits for.


def waits_for_ahead(change: int | None) -> str:
    return "waiting for the item ahead" if change is None else f"waiting for #{change} ahead"


def waits_for_state() -> str:
    return "waiting for the state ahead to be known"


def waits_for_merge() -> str:
    return "being merged"


def waits_for_jobs(done: int, total: int) -> str:
    return f"{done} of {total} jobs done"


def waits_for_machine(labels: Sequence[str]) -> str:
    return f"waiting for a machine: {', '.join(labels)}"


def waits_for_needs(needs: Sequence[str]) -> str:
    return f"needs {', '.join(needs)}"


def waits_for_landing() -> str:
    return "landing"


def waits_to_be_believed(what: str, ahead: int | None) -> str:
    """A bad result is believed only on the state it would land on."""
    if ahead is None:
        return what
    return f"{what}; believed when #{ahead} ahead is done"


def waits_for_approvals(given: int, needed: int) -> str:
    noun = "approval" if needed == 1 else "approvals"
    return f"has {given} of {needed} {noun}"


def waits_for_land() -> str:
    return "approved; enters the gate when somebody asks to land it"


def also_proved(without: Sequence[int], besides: Sequence[int], *, base: bool) -> str:
    """Which other state an item is proved on, compared to the one it is expected to land on."""
    if base:
        return "the state without it is tried too"
    parts = [
        f"{word} {', '.join(f'#{number}' for number in numbers)}"
        for word, numbers in (("without", without), ("with", besides))
        if numbers
    ]
    return f"also proved {' and '.join(parts)}" if parts else "also proved on another state"


def waits_for_entry() -> str:
    return "about to enter the gate"


BEING_PROVED = "being proved"
LACKS_APPROVAL = "lacks approval"
FAILED = "a job failed"
CONFLICTS = "it conflicts with what is ahead"
MISCONFIGURED = "its configuration can't be used"


# When something is done.


def window(now: int, floor: int, ceiling: int | None, rejected: int | None) -> str:
    """How many items may be under way, and why it is not more."""
    most = "" if ceiling is None else f", {ceiling} at most"
    last = "" if rejected is None else f", last by #{rejected}"
    return (
        f"{now} at a time: one more after each landing{most}; half as many after each rejection"
        f"{last}, {floor} at least"
    )


NO_MACHINES = "no host takes builds now"
JOBS_UNKNOWN = "its jobs are not known until its state is made"
IN_DOUBT = "it does not land as it stands"
TREE_CLOSED = "the tree is closed"
UNKNOWN_BEHIND = "it is not known when what is ahead of it is done"


def never_passed(job: str) -> str:
    """Why nobody knows how long something takes."""
    return f"{job} has not passed here before, so nobody knows how long it takes"


# What others are told.


def never_began(needs: Sequence[str], why: str) -> str:
    """Why a job was not run, of an item that has ended."""
    return f"not run: needs {', '.join(needs)}" if needs else f"not run: {why}"


# What a push says to the person who pushes; git puts `remote: ` before each line.


def push_taken(change: Change, patch_set: PatchSet, url: str, is_new: bool) -> str:
    what = "new" if patch_set.number == 1 else f"patch set {patch_set.number}"
    state = what if is_new else "no new commit"
    return f"Change {change.id}: {change.title} ({state})\n  {url}/changes/{change.id}"


def waits_outside(change: Change) -> str:
    return (
        f"Change {change.id} enters the gate when it and what it needs are approved:"
        f" cupel approve {change.id}"
    )


def kept_out(change: Change, why: str) -> str:
    return f"Change {change.id} enters the gate later: {why}"


def jobs_begin(change_id: int, item: Item, buildset: Buildset, *, again: bool) -> str:
    """What an item is proved with, once that is known."""
    start = f"  {change_id} {item.pipeline}"
    if buildset.state is BuildsetState.CONFLICT:
        return f"{start}: {buildset.detail}"
    if buildset.state is BuildsetState.MISCONFIGURED:
        return f"{start}: {MISCONFIGURED}: {buildset.detail}"
    onto = f" on {buildset.onto[:12]}" if buildset.onto else ""
    begins = "proving again, what was ahead has changed," if again else "proving"
    jobs = ", ".join(job.name for job in buildset.jobs) or "no jobs"
    notice = f"\n  {buildset.notice}" if buildset.notice else ""
    return f"{start}: {begins}{onto}: {jobs}{notice}"


def waits_inside(item: Item) -> str:
    """What an item waits for, where nothing else is new."""
    return f"  {item.change_id} {item.pipeline}: {item.wait}"


def waits_long(change_id: int, build: Build, url: str) -> str:
    """A machine is not there at once: its image is being built, which the build's log shows."""
    return (
        f"  {change_id} {build.job}: waiting for its machine; the first on a new image takes about"
        f" a minute  {url}/builds/{build.id}"
    )


def build_reused(job: str, build: int, change: int | None) -> str:
    """A job that need not run, since it has passed on the same inputs before."""
    return f"{job}: reused from build {build}" + (f" of change {change}" if change else "")


def cache_use(build: Build, use: CacheUse, saved: Cache | None) -> str:
    """What became of a cache in a build; `saved` is what it left, if that is known."""
    said = []
    if use.restored is not None:
        like = "" if use.exact else ", an older one"
        took = f"{use.size / 1e6:.1f} MB in {use.seconds * 1000:.0f} ms"
        said.append(f"restored from build {use.restored}{like}, {took}")
    elif use.withheld:
        said.append(f"not restored: {use.withheld}")
    elif build.pipeline is Pipeline.PERIODIC:
        said.append("not restored: an audit begins without")
    else:
        said.append("nothing was there")
    if use.saved is not None:
        said.append(_cache_saved(use.saved, saved))
    elif use.unsaved:
        said.append(f"not saved: {use.unsaved}")
    elif build.verdict is not Verdict.SUCCESS:
        said.append("not saved: the build has not passed")
    elif use.exact:
        said.append("not saved: it has what it should have")
    return "; ".join(said)


def _cache_saved(size: int, saved: Cache | None) -> str:
    text = f"saved, {size / 1e6:.1f} MB"
    if saved is None:
        return text
    if saved.state is CacheState.CANDIDATE:
        return f"{text}: given to nobody until the change lands"
    return text if saved.state is CacheState.READY else f"{text}, gone since: {saved.detail}"


def build_line(change_id: int, build: Build, url: str, *, base: bool = False) -> str:
    """How a build stands; `base`: it looks how the job fares without the change."""
    start = f"  {change_id} {build.job}" + (" without the change" if base else "")
    attempt = f" (attempt {build.attempt})" if build.attempt > 1 else ""
    if build.state is not BuildState.FINISHED:
        return f"{start}: {build.state}{attempt}  {url}/builds/{build.id}"
    began = build.started_at or build.queued_at
    took = f" in {(build.finished_at or began) - began:.1f} s"
    why = f": {build.reason}" if build.reason else ""
    ended = "passed but for quarantined" if build.but_for else build.verdict
    return f"{start}: {ended}{took}{attempt}{why}"


def held(change_id: int, build: Build, until: float, command: str) -> str:
    """Where to look at the machine of a build that has failed."""
    at = f"{dt.datetime.fromtimestamp(until, dt.UTC):%H:%M}"
    return f"  {change_id} {build.job}: its machine is held until {at} UTC: {command}"


def ends_soon(build: int | None, left: float) -> str:
    """For whoever is in a machine whose hold ends in so many seconds."""
    when = f"{round(left / 60)} min" if left >= 90 else f"{max(round(left), 0)} s"
    return f"this machine goes in {when}; `cupel hold {build} --reason …` keeps it longer"


def before_visit(build: Build) -> str | None:
    """What whoever would go into the machine of a build should know before; None: nothing."""
    if build.state is BuildState.FINISHED:
        return None
    if visit.spoils(build):
        which = "the gate" if build.pipeline is Pipeline.GATE else "an audit"
        return (
            f"A build of {which} in whose machine somebody was while it ran proves nothing, and "
            "runs again."
        )
    return (
        "This build counts all the same, but what it passes is not reused: whoever is in a machine "
        "can make its build say anything."
    )


def verdict(change: Change, item: Item, url: str, why: Sequence[str] = ()) -> str:
    """How an item ended; `why` are lines on what made it end so."""
    match item.state:
        case ItemState.LANDED:
            return f"Change {change.id} landed on {change.branch} as {change.landed_commit}"
        case ItemState.PASSED:
            after = "" if item.pipeline is not Pipeline.CHECK else _after_check(change)
            return f"Change {change.id} passed {item.pipeline}{after}"
        case _:
            reason = item_reason(item.reason, item.detail)
            hint = _CURES.get(item.reason) if item.reason else None
            return (
                f"Change {change.id} {item.state} in {item.pipeline}: {reason}\n"
                + "".join(f"  {line}\n" for line in why)
                + (f"  {hint.format(branch=change.branch)}\n" if hint else "")
                + f"  {url}/changes/{change.id}"
            )


def follows_no_more(changes: Sequence[int], url: str) -> str:
    """The server stops, or the news came faster than they could be told."""
    pages = "".join(f"\n  {url}/changes/{change}" for change in changes)
    return f"No more is said here; nothing is lost, and what was taken goes on:{pages}"


_CURES: Mapping[Reason, str] = {
    Reason.CONFLICT: "to mend it: rebase it on {branch} as it is now, and push it again",
    Reason.INFRASTRUCTURE: "to try again: git commit --amend --no-edit, and push it again",
}
"""What the person can do, where the reason does not say it."""


def _after_check(change: Change) -> str:
    return "" if change.wants_land else f"; to land it: cupel approve {change.id}"


# What `cupel up` says when everything stands.


def tests(tally: Tally) -> str:
    """How the tests of a build ended, those to look at first."""
    counts = (
        (tally.failed, "failed"),
        (tally.error, "could not be run"),
        (tally.flaky, "flaky"),
        (tally.skipped, "skipped"),
        (tally.passed - tally.flaky, "passed"),
    )
    return ", ".join(f"{count:,} {word}" for count, word in counts if count) or "no tests"


def up(url: str, login: str, remote: str, state: str) -> str:
    return f"""\
Cupel is up at {url}
  log in (once):  {login}
  state:          {state}

To guard a repository:
  cupel project add PROJECT
  git remote add cupel {remote}
  git push cupel HEAD:refs/for/main -o wait

Ctrl-C stops it; started again it goes on where it was."""
