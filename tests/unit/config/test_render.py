"""A configuration written down is read back as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cupel.config.job import JobConfig
from cupel.config.matrix import Matrix
from cupel.config.project import ProjectConfig, parse
from cupel.config.render import render_yaml
from cupel.core.model import Step

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
PRINTED = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
SCRIPTS = st.lists(PRINTED, min_size=1, max_size=3).map("\n".join)
PLAIN = st.sampled_from(
    ["3.10", "yes", "~", "1:30", "a b", "a: b", "# c", "*", "0x1f", "2024-01-01"]
)


@st.composite
def jobs(draw: st.DrawFn, name: str) -> JobConfig:
    matrix = Matrix(
        axes=(("py", ("3.10", draw(PLAIN.filter(lambda value: value != "3.10")))),),
        include=((("py", "9"), ("flag", "x")),),
        exclude=((("py", "3.10"),),),
    )
    return JobConfig(
        name=name,
        machine=draw(PRINTED),
        steps=(Step(name=draw(PRINTED), run=draw(SCRIPTS)),),
        env=(("A", draw(st.one_of(PLAIN, SCRIPTS))),),
        inputs=draw(st.sampled_from([(), ("src/**", "!x")])),
        timeout=float(draw(st.integers(1, 86_400))),
        voting=draw(st.booleans()),
        evidence=draw(st.booleans()),
        hold=draw(st.sampled_from([0.0, 60.0, 7200.0])),
        projects=draw(st.sampled_from([(), ("lib",), ("3.10", "b")])),
        semaphores=draw(st.sampled_from([(), ("db",), ("1", "yes")])),
        matrix=draw(st.sampled_from([None, matrix])),
    )


@given(st.lists(NAMES, min_size=1, max_size=3, unique=True), st.data())
def test_what_is_written_is_read_back(names: list[str], data: st.DataObject) -> None:
    table = {name: data.draw(jobs(name)) for name in names}
    last = names[-1]
    if len(names) > 1:
        table[names[0]] = JobConfig(
            name=names[0], machine="m", steps=table[names[0]].steps, needs=(last,)
        )
    config = ProjectConfig(
        jobs=table, check=tuple(names), gate=(last,), post=(last,), semaphores={"db": 2}
    )
    assert parse({".cupel.yaml": render_yaml(config)}) == config
