"""What a host decides when it has too much to do: traces of samples in, decisions out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.host import pressure
from cupel.host.pressure import Decision, History, Load, Sample

GIB = 1 << 30
MIB = 1 << 20


def sample(at: float, **fields: Any) -> Sample:
    calm = {"memory": 16 * GIB, "available": 8 * GIB, "disk": 500 * GIB, "disk_free": 100 * GIB}
    return Sample(at=at, **(calm | fields))


def loads(**memory: int) -> tuple[Load, ...]:
    """Machines m1, m2, … by the MiB that they use."""
    return tuple(Load(machine=int(name[1:]), memory=mib * MIB) for name, mib in memory.items())


def play(*samples: Sample) -> list[Decision]:
    history, decisions = History(), []
    for each in samples:
        history, decision = pressure.decide(history, each)
        decisions.append(decision)
    return decisions


def stopped(decisions: list[Decision]) -> list[int | None]:
    return [each.stop.machine if each.stop else None for each in decisions]


def test_a_calm_host_takes_what_comes():
    assert play(*(sample(float(at)) for at in range(60))) == [Decision()] * 60


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"available": GIB}, "its memory has 1 GiB left of 16 GiB"),
        ({"some": 45.0, "full": 3.0}, "45 % were lost to waiting"),
        ({"some": 20.0, "full": 12.0}, "12 % by all at once"),
        ({"disk_free": 5 * GIB}, "its disk has 5 GiB left of 500 GiB"),
    ],
)
def test_a_busy_host_says_why_it_takes_no_more_and_stops_nothing(fields, said):
    (decision,) = play(sample(1.0, loads=loads(m1=100), **fields))
    assert said in (decision.refuses or "")
    assert decision.stop is None
    assert decision.prune == ("disk_free" in fields)


def test_machines_are_taken_again_once_it_has_been_calm_for_a_while():
    busy = [sample(0.0, some=50.0)]
    calm = [sample(float(at)) for at in range(1, 13)]
    refusals = [each.refuses is not None for each in play(*busy, *calm)]
    assert refusals == [True] * 10 + [False] * 3


def test_pressure_stops_a_build_only_when_it_lasts():
    """systemd-oomd acts after 30 s above the limit; a dip begins the count anew."""
    pressed = [sample(float(at), full=70.0, loads=loads(m1=100)) for at in range(29)]
    dip = sample(29.0, full=50.0, loads=loads(m1=100))
    again = [sample(float(at), full=70.0, loads=loads(m1=100)) for at in range(30, 70)]
    found = stopped(play(*pressed, dip, *again))
    assert found[:60] == [None] * 60
    assert found[60] == 1
    assert found[61:] == [None] * 9


def test_nobody_else_is_stopped_for_a_while_after_a_stop():
    """It takes as long until what was freed shows."""
    trace = [sample(float(at), available=MIB, loads=loads(m1=100, m2=90)) for at in range(20)]
    assert [at for at, each in enumerate(stopped(play(*trace))) if each] == [0, 15]


@pytest.mark.parametrize(
    ("fields", "stops"),
    [
        ({"available": 400 * MIB}, True),
        ({"available": 700 * MIB}, False),
        ({"available": GIB, "swap": GIB, "swap_free": 50 * MIB}, True),
        ({"available": GIB, "swap": GIB, "swap_free": 200 * MIB}, False),
        ({"available": 2 * GIB, "swap": GIB, "swap_free": 0}, False),
    ],
)
def test_memory_that_is_nearly_gone_counts_at_once(fields, stops):
    (decision,) = play(sample(1.0, loads=loads(m1=1000), **fields))
    assert (decision.stop is not None) == stops


def trace_of(*steps: tuple[Load, ...]) -> list[Decision]:
    """The loads one after the other, a second apart; memory runs out with the last."""
    calm = [sample(float(at), loads=each) for at, each in enumerate(steps[:-1])]
    return play(*calm, sample(float(len(calm)), available=MIB, loads=steps[-1]))


@pytest.mark.parametrize(
    ("steps", "victim", "why"),
    [
        ([loads(m1=600, m2=500)], 1, "had most"),
        ([loads(m1=100, m2=90, m3=80), loads(m1=100, m2=90, m3=89)], 1, "was the largest"),
        ([loads(m1=100, m2=90, m3=80), loads(m1=200, m2=190, m3=180)], 1, "grew fastest"),
        (
            [
                loads(m1=300, m2=100, m3=290, m4=280, m5=270, m6=260, m7=250, m8=10, m9=10),
                loads(m1=300, m2=295, m3=290, m4=280, m5=270, m6=260, m7=250, m8=10, m9=10),
            ],
            2,
            "grew fastest",
        ),
        ([loads(m1=5, m2=10), loads(m1=20, m2=10)], 1, "had most"),
    ],
)
def test_the_victim_is_chosen_as_oomd_does_by_size_or_growth(steps, victim, why):
    stop = trace_of(*steps)[-1].stop
    assert stop is not None
    assert stop.machine == victim
    assert why in stop.reason


def test_the_reason_has_the_pressure_and_the_peak():
    load = Load(machine=1, memory=3 * GIB, peak=4 * GIB)
    trace = [sample(float(at), full=70.0, loads=(load,)) for at in range(31)]
    stop = play(*trace)[-1].stop
    assert stop is not None
    assert "for 30 s" in stop.reason
    assert "70 % of the last 10 s" in stop.reason
    assert "3 GiB, 4 GiB at its peak" in stop.reason


def test_a_disk_that_is_nearly_full_stops_the_greatest_writer():
    writers = (
        Load(machine=1, memory=9 * GIB, written=MIB),
        Load(machine=2, memory=MIB, written=3 * GIB),
    )
    (decision,) = play(sample(1.0, disk_free=GIB // 2, loads=writers))
    assert decision.stop is not None
    assert decision.stop.machine == 2
    assert "512 MiB left" in decision.stop.reason
    assert decision.prune


def test_a_small_disk_has_small_watermarks():
    (decision,) = play(sample(1.0, disk=20 * GIB, disk_free=3 * GIB))
    assert not decision.prune
    assert decision.refuses is None


@given(
    st.lists(
        st.builds(
            Sample,
            at=st.floats(0, 100),
            some=st.floats(0, 100),
            full=st.floats(0, 100),
            memory=st.just(16 * GIB),
            available=st.integers(0, 16 * GIB),
            swap=st.just(GIB),
            swap_free=st.integers(0, GIB),
            disk=st.just(100 * GIB),
            disk_free=st.integers(0, 100 * GIB),
            loads=st.lists(st.integers(1, 9), unique=True).map(
                lambda numbers: tuple(Load(machine=n, memory=n * MIB) for n in numbers)
            ),
        ),
        max_size=30,
    )
)
def test_whatever_happens_only_builds_that_run_are_stopped_and_seldom(samples):
    samples.sort(key=lambda each: each.at)
    decisions = play(*samples)
    stops = [(s, d.stop) for s, d in zip(samples, decisions, strict=True) if d.stop is not None]
    assert all(stop.machine in {load.machine for load in s.loads} for s, stop in stops)
    times = [each.at for each, _ in stops]
    assert all(
        later - earlier >= pressure.POST_ACTION for earlier, later in itertools.pairwise(times)
    )
