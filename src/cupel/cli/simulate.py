"""`cupel simulate`: policies of the merge queue compared in a made-up world."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cupel.cli import output
from cupel.config import quantity
from cupel.errors import UserError

if TYPE_CHECKING:
    from cupel.simulate.queueing.compare import Row, Task
    from cupel.simulate.queueing.trace import Told
    from cupel.simulate.queueing.workload import Parameters

_PER_HOUR = {"s": 3600.0, "m": 60.0, "h": 1.0, "d": 1 / 24}

_MOST = 100_000
"""Changes of a world."""

_DEFAULT = "expected-value,optimistic,oracle-in-order"


class Share(click.ParamType[float]):
    """`5%` or `0.05`."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        try:
            found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 1:
            self.fail(f"{text!r} is no share: write 5% or 0.05, from 0 to 1", param, ctx)
        return found


class Rate(click.ParamType[float]):
    """`30/h`, `500/d`, or a bare number of changes an hour."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        count, _, unit = str(value).partition("/")
        try:
            found = float(count) * _PER_HOUR[unit or "h"]
        except (ValueError, KeyError):
            found = 0.0
        if not 0 < found <= 100_000:
            self.fail(f"{value!r} is no rate: write 30/h, or 2/m, or 500/d", param, ctx)
        return found


class Seconds(click.ParamType[float]):
    """`30m`, `1h30m`, or a bare number of seconds."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = quantity.seconds(str(value))
        if found is None or (not found and not self._zero):
            self.fail(f"{value!r} is no duration: write 90s, 30m or 1h30m", param, ctx)
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Option:
    """An option for a field of `Parameters`, whose default it has."""

    field: str
    type: click.ParamType[Any]
    help: str
    flag: str | None = None


_WORLD = (
    _Option("rate", Rate(), "Changes that arrive, such as 30/h."),
    _Option("hours", click.FloatRange(0, 1000, min_open=True), "Hours in which they arrive."),
    _Option("machines", click.IntRange(1, 100_000), "Machines; each runs a job at a time."),
    _Option("bad", Share(), "Chance that a change breaks something, such as 5%."),
    _Option("flaky", Share(), "Chance that a run fails for no reason."),
    _Option(
        "believed_flaky", Share(), "The flake rate that policies are told; by default the true one."
    ),
    _Option("storm", Share(), "Chance of the same during a storm; 0 for none."),
    _Option("storm_from", click.FloatRange(0), "Hour at which the storm begins."),
    _Option("storm_hours", click.FloatRange(0), "How many hours it lasts."),
    _Option("job", Seconds(), "How long a job takes, such as 30m: the median."),
    _Option("spread", click.FloatRange(0, 3), "Standard deviation of its logarithm."),
    _Option("longest", Seconds(), "No run is longer."),
    _Option("boot", Seconds(zero=True), "How long a machine takes to be there."),
    _Option("early", Share(), "Share of failures seen in a run's first quarter."),
    _Option(
        "parts",
        click.IntRange(1, 1000),
        "Parts of the project, each with a job of its own; a change touches one.",
    ),
    _Option("wide", Share(), "Share of changes that touch every part."),
    _Option("clash", Share(), "Chance that two changes of a part fail only together."),
    _Option(
        "predictor",
        click.FloatRange(0.5, 1, max_open=True),
        "How well bad changes are known beforehand: area under the curve.",
    ),
    _Option("depends", Share(), "Share of changes that need the one before."),
    _Option("burst", click.IntRange(1, 10_000), "Changes that arrive at once."),
)


def _world(command: Callable[..., None]) -> Callable[..., None]:
    """The options of the world, as they are in `Parameters`."""
    from cupel.simulate.queueing.workload import Parameters

    defaults = Parameters()
    for option in reversed(_WORLD):
        default = getattr(defaults, option.field)
        told = "" if default is None else f"  [{_shown(option, default)}]"
        command = click.option(
            f"--{option.field.replace('_', '-')}",
            option.field,
            type=option.type,
            help=f"{option.help}{told}",
        )(command)
    return command


def _shown(option: _Option, default: float) -> str:
    match option.type:
        case Rate():
            return f"{default:g}/h"
        case Share():
            return f"{100 * default:g}%"
        case Seconds():
            return quantity.duration(default) if default else "0"
    return f"{default:g}"


@click.command()
@click.option(
    "--policy",
    "policies",
    default=_DEFAULT,
    show_default=True,
    help="Policies to compare, by name and with commas between; all: every one.",
)
@click.option(
    "--landing",
    type=click.Choice(["strict", "set"]),
    default="strict",
    show_default=True,
    help="How Cupel's policies land: each change proved itself, or sets by their last state.",
)
@click.option(
    "--seeds", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Worlds to play."
)
@_world
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path),
    help="Take the changes from this CSV file instead: at, paths, seconds, outcome.",
)
@click.option(
    "--from-git",
    type=click.Path(path_type=Path),
    help="Take times and paths of changes from this repository's history.",
)
@click.option("--ablate", is_flag=True, help="Also expected-value, without one thing each.")
@click.option(
    "--jobs", type=click.IntRange(1, 512), help="Processes to use; by default one for each CPU."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw latencies and busy machines to this SVG file.",
)
@click.option("--list-policies", is_flag=True, help="Show the policies' names, and leave.")
@output.json_option
def simulate(
    policies: str,
    landing: str,
    seeds: int,
    trace_file: Path | None,
    from_git: Path | None,
    ablate: bool,
    jobs: int | None,
    plot: Path | None,
    list_policies: bool,
    as_json: bool,
    **world: Any,
) -> None:
    """Compare policies of the merge queue in a made-up world, without a server.

    Each policy meets the same changes, run lengths and chances. Every measure is the mean over the
    seeds with its 95 % confidence interval.
    """
    from cupel.simulate.queueing import compare

    if list_policies:
        _list(as_json=as_json)
        return
    given = {name: value for name, value in world.items() if value is not None}
    parameters, told = _changes(given, trace_file, from_git)
    if from_git is not None:
        click.echo(_synthesised(parameters, told), err=True)
    names = _names(policies, ablate=ablate)
    tasks = _tasks(parameters, told, names, seeds, landing_set=landing == "set")
    rows = compare.compare(tasks, jobs=jobs or os.cpu_count() or 1)
    if plot is not None:
        _draw(plot, rows)
    if as_json:
        output.document([_view(row) for row in rows])
    else:
        _show(rows, seeds)


def _names(policies: str, *, ablate: bool) -> list[str]:
    """Those that are meant, once each."""
    from cupel.simulate.queueing import contestants
    from cupel.simulate.queueing.compare import ORACLES

    found: list[str] = []
    for name in policies.split(","):
        word = name.strip()
        if word == "all":
            found += [*contestants.OWN, *contestants.PEERS, *ORACLES]
        elif word in contestants.ALL or word in ORACLES:
            found.append(word)
        else:
            raise UserError(
                f"there is no policy {word!r}",
                hint="`cupel simulate --list-policies` shows those that there are",
            )
    if ablate:
        found += ["expected-value", *contestants.ABLATIONS]
    return list(dict.fromkeys(found))


def _changes(
    given: dict[str, Any], trace_file: Path | None, from_git: Path | None
) -> tuple[Parameters, tuple[Told, ...]]:
    """The world, and the changes of a trace if there is one."""
    from cupel.simulate.queueing import history, trace
    from cupel.simulate.queueing.workload import Parameters

    if trace_file is not None and from_git is not None:
        raise UserError("--trace and --from-git exclude each other", hint="give one of them")
    parameters = Parameters(**given)
    if parameters.rate * parameters.hours > _MOST:
        raise UserError(
            f"{parameters.rate * parameters.hours:,.0f} changes are too many for a world",
            hint=f"lower --rate or --hours, to at most {_MOST:,} changes",
        )
    if trace_file is None and from_git is None:
        return parameters, ()
    told = trace.read(trace_file) if trace_file is not None else history.read(_sure(from_git))
    known = [each.seconds for each in told if each.seconds is not None]
    if known and "job" not in given:
        parameters = dataclasses.replace(parameters, job=statistics.median(known))
    paced = trace.paced(told, rate=given.get("rate"), hours=parameters.hours)
    span = max(paced[-1].at / 3600, 1 / 60)
    return dataclasses.replace(
        parameters, hours=span, rate=given.get("rate", len(paced) / span)
    ), tuple(paced)


def _sure(path: Path | None) -> Path:
    assert path is not None
    return path


def _synthesised(parameters: Parameters, told: tuple[Told, ...]) -> str:
    return (
        f"{len(told)} changes over {parameters.hours:.1f} h: their times and paths are the"
        " repository's. Made up are outcomes (--bad, --flaky, --clash) and durations"
        f" (--job, --spread); paths are folded into {parameters.parts} parts (--parts)."
    )


def _tasks(
    parameters: Parameters,
    told: tuple[Told, ...],
    names: list[str],
    seeds: int,
    *,
    landing_set: bool,
) -> list[Task]:
    from cupel.simulate.queueing.compare import Task

    return [
        Task(
            parameters=parameters,
            policy=name,
            seed=seed,
            landing_set=landing_set,
            trace=told,
        )
        for name in names
        for seed in range(seeds)
    ]


def _draw(path: Path, rows: list[Row]) -> None:
    from cupel.simulate.queueing import plot

    try:
        path.write_text(plot.svg(rows), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


def _list(*, as_json: bool) -> None:
    from cupel.simulate.queueing import contestants

    known = list(contestants.ALL.values())
    if as_json:
        output.document([{"policy": each.name, "about": each.about} for each in known])
        return
    output.table(["policy", ""], [(each.name, each.about) for each in known])


def _view(row: Row) -> Mapping[str, Any]:
    return {
        "policy": row.policy,
        "landing": row.landing,
        "seeds": len(row.results),
        **{name: dataclasses.asdict(found) for name, found in row.measures.items()},
    }


_COLUMNS = (
    ("p50_s", "P50", "time"),
    ("p95_s", "P95", "time"),
    ("p99_s", "P99", "time"),
    ("p95_over_oracle", "P95/oracle", "number"),
    ("machine_hours_per_landing", "machine h", "number"),
    ("builds_per_landing", "builds", "number"),
    ("false_reject_rate", "false rejects", "share"),
    ("bad_landings", "bad landings", "count"),
    ("plan_ms_p50", "plan ms", "number"),
    ("plan_ms_p99", "P99", "number"),
)
"""What the table shows: measure, heading, kind."""


def _show(rows: list[Row], seeds: int) -> None:
    shown = [
        [row.policy, row.landing, *(_cell(row, name, kind) for name, _, kind in _COLUMNS)]
        for row in rows
    ]
    headings = ["policy", "landing", *(heading for _, heading, _ in _COLUMNS)]
    output.table(headings, shown)
    click.echo(
        f"means over {seeds} seeds ± half of the 95 % confidence interval;"
        " machine hours and builds are per landing"
    )


def _cell(row: Row, name: str, kind: str) -> str:
    found = row.measures[name]
    half = (found.high - found.low) / 2
    match kind:
        case "time":
            return f"{found.value / 60:.0f}±{half / 60:.0f} min"
        case "share":
            return f"{100 * found.value:.2f}%"
        case "count":
            return f"{found.value * len(row.results):.0f}"
    return f"{found.value:.2f}±{half:.2f}"
