from pathlib import Path

import pytest

from cupel.errors import UserError
from cupel.simulate.queueing import trace
from cupel.simulate.queueing.trace import Told
from cupel.simulate.queueing.workload import Parameters


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_a_trace_is_read_in_order_of_time(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'at,paths,seconds,outcome\n1h,"src/a docs",30m,fail\n\n0,src/b,,\n90,,1750,pass\n'
    )
    assert trace.read(path) == [
        Told(at=0.0, paths=("src/b",)),
        Told(at=90.0, seconds=1750.0, bad=False),
        Told(at=3600.0, paths=("src/a", "docs"), seconds=1800.0, bad=True),
    ]


def test_times_may_be_dates(tmp_path: Path) -> None:
    path = written(tmp_path, "at\n2026-03-01T09:30:00Z\n2026-03-01T10:30:00+00:00\n2026-03-01\n")
    first, second, third = trace.read(path)
    assert second.at - first.at == 9.5 * 3600
    assert third.at - second.at == 3600


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "1:1", "the trace is empty"),
        ("at\n", "2:1", "no changes"),
        ("paths\nsrc\n", "1:1", "the column at is missing"),
        ("at,colour\n0,red\n", "1:4", "the column 'colour' is unknown"),
        ("at,at\n0,0\n", "1:4", "there twice"),
        ("at\n0\nsoon\n", "3:1", "'soon' is no time"),
        ("at\n2026-13-40\n", "2:1", "no time"),
        ("at,paths,seconds\n0,src,long\n", "2:7", "'long' is no duration"),
        ("at,seconds\n0,0\n", "2:3", "above zero"),
        ('at,paths,outcome\n0,"a,b c",maybe\n', "2:11", "'maybe' is no outcome"),
        ("at,paths\n0,a,b\n", "2:5", "more values than columns"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, text: str, where: str, what: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        trace.read(path)
    assert caught.value.message.startswith(f"{path}:{where}: ")
    assert what in caught.value.message
    assert caught.value.hint


def test_a_file_that_cannot_be_read_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        trace.read(tmp_path / "none.csv")
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        trace.read(path)


def test_a_rate_takes_the_newest_and_paces_them() -> None:
    told = [Told(at=float(day * 86400)) for day in range(100)]
    paced = trace.paced(told, rate=10.0, hours=2.0)
    assert len(paced) == 20
    assert paced[0].at == 0
    assert paced[-1].at == pytest.approx(7200)
    assert trace.paced(told, rate=None, hours=2.0) == told


def test_the_most_touched_names_are_parts_and_the_rest_is_one() -> None:
    told = [Told(at=n, paths=("src/a", "src/b")) for n in range(3)]
    told += [Told(at=3, paths=("docs/x", "src/c")), Told(at=4, paths=("docs/y",))]
    told += [Told(at=5, paths=("README.md",)), Told(at=6, paths=("LICENSE", "src"))]
    found = trace.arrivals(Parameters(parts=3), told, 1)
    assert [c.parts for c in found] == [(0,), (0,), (0,), (0, 1), (1,), (2,), (0, 2)]


def test_what_a_trace_does_not_tell_is_drawn() -> None:
    told = [Told(at=n, bad=n == 1 or None) for n in range(500)]
    found = trace.arrivals(Parameters(bad=0.2), told, 1)
    assert found[1].bad
    assert 60 < sum(c.bad for c in found) < 140
    assert found == trace.arrivals(Parameters(bad=0.2), told, 1)
    assert found != trace.arrivals(Parameters(bad=0.2), told, 2)


def test_the_log_of_a_history_is_a_trace() -> None:
    text = "\x01200\0\nsrc/a\0docs/b c\0\0\x01100\0\nREADME\0"
    assert trace.logged(text) == [
        Told(at=100.0, paths=("README",)),
        Told(at=200.0, paths=("src/a", "docs/b c")),
    ]
