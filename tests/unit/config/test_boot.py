"""Steps that boot a system of its own."""

from __future__ import annotations

import pytest

from cupel.config import freeze, load
from cupel.config.image import ImageConfig
from cupel.config.problem import ConfigErrors
from cupel.config.project import parse
from cupel.config.render import render_yaml
from cupel.config.server import LabelConfig
from cupel.config.system import SystemConfig
from cupel.core.model import Boot, Pipeline, Step

FILE = ".cupel.yaml"
SYSTEM = ImageConfig(suite=None, packages=(), system=SystemConfig())
LABELS = {"debian-12": LabelConfig(), "own": LabelConfig(provider="vm", image=SYSTEM)}


def job(step: str, machine: str = "own", more: str = "") -> str:
    return f"jobs:\n  a:\n    machine: {machine}\n    steps:\n      - {step}\n{more}check: [a]\n"


def refusal(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load.load({FILE: text}, [FILE], LABELS)
    return str(caught.value).replace(f"{FILE}:", "")


def steps(text: str) -> tuple[Step, ...]:
    config = parse({FILE: text})
    assert parse({FILE: render_yaml(config)}) == config
    (frozen,) = freeze.freeze(config, Pipeline.CHECK, LABELS)
    return frozen.steps


@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ("{expect: done}", Boot(expect=("done",))),
        ("{expect: [a, b*c], fail: x}", Boot(expect=("a", "b*c"), fail=("x",))),
        ("{exit: 16}", Boot(exit=16)),
        ("{exit: 0, fail: [x, y]}", Boot(exit=0, fail=("x", "y"))),
        ("{exit: off}", Boot(off=True)),
        ('{exit: "off", expect: done}', Boot(off=True, expect=("done",))),
    ],
)
def test_the_rule_is_read_written_and_frozen(rule: str, read: Boot) -> None:
    assert steps(job(f"boot: {rule}")) == (Step(name="boot", run="", boot=read),)


def test_it_has_a_name_and_takes_values_of_the_matrix() -> None:
    matrix = "    matrix: {n: [3]}\n"
    (step,) = steps(job('{name: try, boot: {expect: "{{matrix.n}} passed"}}', more=matrix))
    assert step == Step(name="try", run="", boot=Boot(expect=("3 passed",)))
    assert "the matrix has no" in refusal(job('boot: {expect: "{{matrix.m}}"}', more=matrix))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (job("make"), '5:9: nothing can be started on the label "own"'),
        (job("make"), "write `- boot: {expect: …}` as the only step"),
        (job("boot: {expect: x}", "debian-12"),
         '5:9: the label "debian-12" boots no system of its own'),
        (job("boot: {fail: x}"), "5:15: nothing says when it has passed"),
        (job("boot: {expect: x}\n      - make"), "5:9: a step that boots a system is the only one"),
        (job("boot: {expect: x}", more="    machines: {b: debian-12}\n"),
         "5:9: a system that is booted can't be beside other machines"),
        (job("make", "debian-12", more="    machines: {b: own}\n"),
         '6:19: a machine of "own" can\'t be beside others'),
        (job("{boot: {expect: x}, run: make}"), "5:16: a step with a script boots nothing"),
        (job("boot: {exit: 128}"), "5:22: expected a number from 0 to 127, or off"),
        (job("boot: {exit: -1}"), "5:22: expected a number from 0 to 127, or off"),
        (job('boot: {expect: "*"}'), '5:24: "*" matches every line'),
        (job("{name: x}"), '5:9: the key "run" is missing'),
        (job("{name: x, rum: y}"), 'unknown key "rum"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, wrong: str) -> None:
    assert wrong in refusal(text)
