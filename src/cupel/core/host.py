"""Whether a host can be trusted with builds: strikes, quarantine, and whose fault a lost build is.

A build that its host fails before it has run for QUICK seconds is a strike against the host, unless
the job has been failed elsewhere likewise. So is a machine that it cannot make while builds wait
for one, unless other hosts cannot make that label either, or this one has failed at it so often
that it is the label's fault: the label is asked for less and less often then. STRIKES in a row put
the host in quarantine: it gets no build for a while, then one at a time, as a probe. A probe that
is failed likewise doubles the time; a build that ends by itself, however it ends, clears the
strikes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from cupel.core.draft import Draft
from cupel.core.model import Build, BuildState, Failure, Host, HostState, Machine, Verdict

QUICK = 20.0
"""Seconds: a build that has run longer is failed by something that it did, or by bad luck."""

STRIKES = 3
"""Two builds in a row may be unlucky on a good host."""

_FIRST = 60.0
_LONGEST = 3600.0
"""Seconds of the first quarantine, and what they double up to."""

PAUSES = (5.0, 30.0, 60.0)
"""Seconds until a host is asked again for a label that it could not make and that builds wait for,
after the first time and after others."""

RESTARTED = "its host started anew"
"""The reason of a build that was lost with a restart: no mark against the build."""

DELETED = "its machine was deleted"
"""What the reason of a build begins with whose machine a person deleted: no mark either."""

PROTECTED = "its host protected itself"
"""What the reason of a build begins with that a host stopped when it had too much to do."""

VISITED = "somebody was in its machine"
"""What the reason of a build of the gate begins with that was visited while it ran (`visit`)."""

_MARK = " (held against its host)"

_BY_ITSELF = frozenset({Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT})


def is_hosts_fault(build: Build) -> bool:
    """Whether the build was lost by no fault of its own, so that no attempt was used up.

    The build's reason says so, hence the answer never changes once the build has ended.
    """
    lost = build.verdict is Verdict.INFRA
    return lost and (is_nobodys_fault(build) or str(build.reason).endswith(_MARK))


def is_nobodys_fault(build: Build) -> bool:
    """Whether the build was lost with a restart of its host, for its sake, or by a hand.

    One that was visited is lost by a hand, too.
    """
    reason = str(build.reason)
    return reason == RESTARTED or reason.startswith((DELETED, PROTECTED, VISITED))


def is_suspect(host: Host) -> bool:
    """Whether the host is in quarantine or on probation: no build has ended well there since."""
    return host.strikes >= STRIKES


def is_quarantined(host: Host, now: float) -> bool:
    """Whether the host gets no builds at all."""
    return host.quarantined_until is not None and now < host.quarantined_until


def ended(draft: Draft, build: Build, verdict: Verdict, reason: str | None) -> str | None:
    """Hold for or against its host that `build` is ending; the reason to be kept with the build.

    Builds that were cancelled say nothing, nor do those lost with a restart or with the host.
    """
    machine = draft.find(Machine, build.machine_id)
    host = draft.find(Host, machine.host_id) if machine is not None else None
    if host is None or host.state is not HostState.CONNECTED or reason == RESTARTED:
        return reason
    if verdict is Verdict.INFRA and str(reason).startswith(PROTECTED):
        return reason
    if verdict in _BY_ITSELF:
        if is_suspect(host):
            draft.tell("host.trusted", f"host {host.name}: a build ended well", host_id=host.id)
        draft.put(replace(host, strikes=0, quarantined_until=None))
    elif verdict is Verdict.INFRA and _is_to_blame(draft, build, host):
        _strike(draft, host)
        return (reason or "failed by its host") + _MARK
    return reason


def takes_more(host: Host, now: float) -> bool:
    """Whether the host may be given machines and builds at all."""
    return (
        host.state is HostState.CONNECTED
        and not host.draining
        and host.refuses is None
        and not is_quarantined(host, now)
    )


def failure(host: Host, label: str) -> Failure | None:
    """That the host could not make the label when it last tried."""
    return next((each for each in host.failures if each.label == label), None)


def makes_again_at(host: Host, label: str, *, wanted: bool) -> float:
    """When the host may be asked for the label: where builds want it, within a minute."""
    failed = failure(host, label)
    if failed is None:
        return 0.0
    if wanted:
        return failed.at + PAUSES[min(failed.count, len(PAUSES)) - 1]
    return failed.at + min(PAUSES[0] * 2.0 ** min(failed.count - 1, 16), _LONGEST)


def made(draft: Draft, host: Host, label: str) -> None:
    """The host could make a machine of the label."""
    draft.put(replace(host, failures=_without(host, label)))


def could_not_make(draft: Draft, host: Host, label: str, reason: str) -> None:
    """Hold against the host, and against the label on it, that a machine could not be made."""
    before = failure(host, label)
    count = 1 if before is None else before.count + 1
    now = Failure(label=label, count=count, at=draft.now, reason=reason)
    host = draft.put(replace(host, failures=(*_without(host, label), now)))
    wanted = any(b.state is BuildState.QUEUED and label in b.labels for b in draft.all(Build))
    fails_everywhere = any(
        other.id != host.id and not is_suspect(other) and failure(other, label) is not None
        for other in draft.all(Host)
    )
    if wanted and (is_suspect(host) or (count <= STRIKES and not fails_everywhere)):
        _strike(draft, host)


def _without(host: Host, label: str) -> tuple[Failure, ...]:
    return tuple(each for each in host.failures if each.label != label)


def came_back(known: Host, host: Host) -> Host:
    """The host as it is now, with what was held against it as `known`.

    It may have been repaired meanwhile: a probe finds out without more waiting.
    """
    until = known.quarantined_until
    return replace(
        host,
        strikes=known.strikes,
        draining=known.draining,
        quarantined_until=until if until is None else min(until, host.last_seen),
    )


def why_quarantined(host: Host) -> str:
    """For people: until when, and why."""
    at = dt.datetime.fromtimestamp(host.quarantined_until or 0.0, dt.UTC)
    return (
        f"host {host.name} is quarantined until {at:%Y-%m-%d %H:%M:%S} UTC: "
        f"it failed {host.strikes} builds in a row within seconds"
    )


def why_no_builds(host: Host, now: float) -> str | None:
    """For people: why a connected host gets no builds, or only one; None where it gets its fill."""
    if host.draining:
        return f"host {host.name} is being drained"
    if host.refuses is not None:
        return f"host {host.name} takes no more builds for now: {host.refuses}"
    if is_quarantined(host, now):
        return why_quarantined(host)
    if is_suspect(host):
        return (
            f"host {host.name} is on probation, with one build at a time until one ends well: "
            f"it failed {host.strikes} builds in a row within seconds"
        )
    return None


def _is_quick(build: Build, end: float) -> bool:
    return build.started_at is None or end - build.started_at <= QUICK


def _is_to_blame(draft: Draft, build: Build, here: Host) -> bool:
    """Only for what it fails within seconds. And not if another host that is not suspect has failed
    this job on this state likewise, nor if this one has and was good for other builds since: then
    it is more likely the job's doing.
    """
    if not _is_quick(build, draft.now):
        return False
    return is_suspect(here) or not any(
        host.strikes == 0 or (host.id != here.id and not is_suspect(host))
        for host in _failed_by(draft, build)
    )


def _failed_by(draft: Draft, build: Build) -> Iterator[Host]:
    """The hosts that have failed earlier attempts at the build within seconds, restarts aside."""
    for other in draft.builds(build.buildset_id):
        lost = other.verdict is Verdict.INFRA and not is_nobodys_fault(other)
        if lost and other.job == build.job and _is_quick(other, other.finished_at or draft.now):
            machine = draft.find(Machine, other.machine_id)
            host = draft.find(Host, machine.host_id) if machine is not None else None
            if host is not None:
                yield host


def _strike(draft: Draft, host: Host) -> None:
    """Builds that fail while the host is in quarantine were given to it before: they do not add."""
    if is_quarantined(host, draft.now):
        return
    strikes = host.strikes + 1
    struck = replace(host, strikes=strikes)
    if is_suspect(struck):
        seconds = min(_FIRST * 2.0 ** min(strikes - STRIKES, 16), _LONGEST)
        struck = replace(struck, quarantined_until=draft.now + seconds)
        draft.tell("host.quarantined", why_quarantined(struck), host_id=host.id)
    draft.put(struck)
