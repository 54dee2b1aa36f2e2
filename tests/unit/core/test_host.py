"""Whose fault a lost build is, and what becomes of a host that loses them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cupel.core import events
from cupel.core import host as hosts
from cupel.core.actions import RunBuild
from cupel.core.model import Build, Host, ItemState, Pipeline, Verdict
from unit.core.making import Core, job

INFRA = Verdict.INFRA


def bad_host(*, jobs: int = 1, slots: int = 8) -> Core:
    """A core whose change 7 is being checked with so many jobs."""
    core = Core(slots=slots)
    core.push(7)
    core.prepare(*(job(f"job{number}") for number in range(jobs)))
    return core


def host(core: Core, name: str = "host") -> Host:
    return next(each for each in core.draft().all(Host) if each.name == name)


def run(core: Core, *, seconds: float = 1.0, verdict: Verdict = INFRA) -> Sequence[Build]:
    """Whatever gets a machine after the pauses runs and ends; the builds that ended."""
    core.step()
    core.now += 31.0
    machines = [action.machine.id for action in core.runs()]
    for machine in machines:
        core.begin(machine)
    core.now += seconds
    for machine in machines:
        core.finish(machine, verdict, "no space left" if verdict is INFRA else None)
        core.hear(events.MachineGone(machine_id=machine))
    return [build for build in core.builds() if build.machine_id in machines]


def run_one(core: Core, *, seconds: float = 1.0, verdict: Verdict = INFRA) -> Build:
    [build] = run(core, seconds=seconds, verdict=verdict)
    return build


def test_builds_that_are_lost_at_once_are_held_against_their_host() -> None:
    core = bad_host(slots=1)
    for strike in (1, 2):
        assert hosts.is_hosts_fault(run_one(core))
        assert host(core).strikes == strike
        assert not hosts.is_suspect(host(core))
    assert hosts.is_hosts_fault(run_one(core))
    assert hosts.is_suspect(host(core))
    assert "host.quarantined" in {event.kind for event in core.told}


def test_a_machine_that_never_was_ready_is_a_strike() -> None:
    core = bad_host(slots=1)
    [action] = core.runs()
    core.now += 3600.0
    core.finish(action.machine.id, INFRA, "its image cannot be made")
    assert host(core).strikes == 1


def test_a_machine_that_vanished_at_once_is_a_strike() -> None:
    core = bad_host(slots=1)
    [action] = core.runs()
    core.begin(action.machine.id)
    core.hear(events.MachineGone(machine_id=action.machine.id))
    assert host(core).strikes == 1
    assert hosts.is_hosts_fault(core.builds()[-1])


def test_a_build_that_ran_for_a_while_is_lost_on_its_own_account() -> None:
    core = bad_host(slots=1)
    assert not hosts.is_hosts_fault(run_one(core, seconds=hosts.QUICK + 5.0))
    assert host(core).strikes == 0


@pytest.mark.parametrize("verdict", [Verdict.SUCCESS, Verdict.FAILURE, Verdict.TIMEOUT])
def test_a_build_that_ends_by_itself_clears_the_strikes(verdict: Verdict) -> None:
    core = bad_host(slots=1)
    run_one(core)
    run_one(core)
    run_one(core, verdict=verdict)
    assert (host(core).strikes, host(core).quarantined_until) == (0, None)


def test_a_cancelled_build_says_nothing_of_its_host() -> None:
    core = bad_host(slots=1)
    run_one(core)
    core.step()
    core.now += 31.0
    [action] = core.runs()
    core.hear(events.Abandoned(change_id=7, user="ada"))
    core.step()
    core.finish(action.machine.id, Verdict.CANCELLED)
    assert host(core).strikes == 1


def test_what_is_lost_with_a_restart_or_with_the_host_is_no_strike() -> None:
    core = bad_host(jobs=4)
    core.runs()
    core.hear(core.hello())
    assert host(core).strikes == 0
    assert all(hosts.is_hosts_fault(build) for build in core.builds() if build.verdict is INFRA)
    core.runs()
    core.hear(events.HostLost(name="host", reason="silence"))
    assert host(core).strikes == 0
    assert not hosts.is_hosts_fault(core.builds()[-1])


def test_a_host_that_protected_itself_blames_neither_itself_nor_the_build() -> None:
    core = bad_host(slots=1)
    for _ in range(2 * hosts.STRIKES):
        core.step()
        core.now += 31.0
        [action] = core.runs()
        core.begin(action.machine.id)
        core.finish(action.machine.id, INFRA, f"{hosts.PROTECTED}: its memory was short")
        core.hear(events.MachineGone(machine_id=action.machine.id))
        assert hosts.is_hosts_fault(core.builds()[-1])
    assert host(core).strikes == 0


def test_builds_that_were_there_before_the_quarantine_do_not_make_it_longer() -> None:
    core = bad_host(jobs=6)
    run(core)
    assert host(core).strikes == hosts.STRIKES
    until = host(core).quarantined_until
    assert until is not None
    assert 50.0 < until - core.now <= 60.0


def test_each_failed_probe_doubles_the_time_up_to_an_hour() -> None:
    core = bad_host(jobs=3)
    run(core)
    lengths = []
    for _ in range(9):
        core.now = host(core).quarantined_until or 0.0
        run(core)
        at = next(e.at for e in reversed(core.told) if e.kind == "host.quarantined")
        lengths.append((host(core).quarantined_until or 0.0) - at)
    assert lengths == [120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0, 3600.0]


def test_a_probe_that_passes_ends_it() -> None:
    core = bad_host(jobs=3)
    run(core)
    assert run(core) == []
    core.now = host(core).quarantined_until or 0.0
    [probe] = run(core, verdict=Verdict.SUCCESS)
    assert probe.verdict is Verdict.SUCCESS
    assert not hosts.is_suspect(host(core))
    assert any(event.kind == "host.trusted" for event in core.told)
    assert len(run(core, verdict=Verdict.SUCCESS)) == 2


def test_somebody_ends_it_by_hand() -> None:
    core = bad_host(jobs=3)
    run(core)
    assert hosts.is_quarantined(host(core), core.now)
    core.hear(events.HostReleased(name="host", user="root"))
    assert not hosts.is_suspect(host(core))
    [told] = [each for each in core.told if each.kind == "host.released"]
    assert (told.host_id, told.user) == (host(core).id, "root")
    assert len(run(core, verdict=Verdict.SUCCESS)) == 3
    core.hear(events.HostReleased(name="host", user="root"))
    assert [each.kind for each in core.told].count("host.released") == 1


def test_a_host_that_comes_back_is_probed_at_once() -> None:
    core = bad_host(jobs=3)
    run(core)
    core.hear(core.hello(images=(("debian-12", "sha256:image"),)))
    assert host(core).strikes == hosts.STRIKES
    assert host(core).images == (("debian-12", "sha256:image"),)
    core.step()
    core.now += 31.0
    assert len(core.runs()) == 1


def test_a_job_that_two_hosts_fail_is_not_held_against_the_second() -> None:
    core = bad_host(slots=1)
    core.hear(core.hello(name="other", slots=1))
    first, second = run_one(core), run_one(core)
    assert hosts.is_hosts_fault(first)
    assert not hosts.is_hosts_fault(second)
    assert sorted(each.strikes for each in core.draft().all(Host)) == [0, 1]


def test_a_job_that_fails_where_others_do_well_is_not_held_against_the_host() -> None:
    core = bad_host(slots=1, jobs=2)
    assert hosts.is_hosts_fault(run_one(core))
    assert run_one(core, verdict=Verdict.SUCCESS).verdict is Verdict.SUCCESS
    assert not hosts.is_hosts_fault(run_one(core))


def test_a_loss_after_a_while_is_no_excuse_for_the_next_host() -> None:
    core = bad_host(slots=1)
    core.hear(core.hello(name="other", slots=1))
    assert not hosts.is_hosts_fault(run_one(core, seconds=hosts.QUICK + 5.0))
    assert hosts.is_hosts_fault(run_one(core))


def test_a_suspect_host_has_no_excuse() -> None:
    core = bad_host(slots=1, jobs=2)
    core.hear(core.hello(name="other", slots=0))
    for _ in range(hosts.STRIKES):
        run_one(core)
    assert hosts.is_suspect(host(core))
    core.hear(core.hello(slots=0), core.hello(name="other", slots=1))
    assert not hosts.is_suspect(host(core, "other"))
    run_one(core)
    core.hear(core.hello(), core.hello(name="other", slots=0))
    assert hosts.is_hosts_fault(run_one(core))


def test_a_storm_on_one_host_rejects_nobody_and_the_other_host_goes_on() -> None:
    core = Core(slots=4)
    core.hear(core.hello(name="good", slots=2))
    for number in range(1, 9):
        core.push(number)
    bad = host(core).id
    for _ in range(30):
        core.prepare(job("a"), job("b"))
        for action in core.runs():
            end(core, action, INFRA if action.machine.host_id == bad else Verdict.SUCCESS)
        core.now += 10.0
    items = core.items(Pipeline.CHECK)
    assert len(items) == 8
    assert {item.state for item in items} == {ItemState.PASSED}
    assert hosts.is_suspect(host(core))


def test_with_only_a_bad_host_everything_waits() -> None:
    core = bad_host(jobs=2, slots=2)
    for _ in range(200):
        for action in core.runs():
            end(core, action, INFRA)
        core.now += 600.0
    [item] = core.items(Pipeline.CHECK)
    assert item.state is ItemState.LIVE
    for _ in range(20):
        for action in core.runs():
            end(core, action, Verdict.SUCCESS)
        core.now += 600.0
    assert core.item(7, Pipeline.CHECK).state is ItemState.PASSED


def end(core: Core, action: RunBuild, verdict: Verdict) -> None:
    core.begin(action.machine.id)
    core.finish(action.machine.id, verdict, "no space left" if verdict is INFRA else None)
    core.hear(events.MachineGone(machine_id=action.machine.id))
