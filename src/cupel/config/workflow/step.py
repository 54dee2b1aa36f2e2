"""The steps of a workflow's job, as scripts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from cupel.config.document import Scalar, Table, Value
from cupel.config.job import VARIABLE, first_line
from cupel.config.problem import Mark, show
from cupel.config.workflow import action, expression, tree
from cupel.config.workflow.caching import Caches
from cupel.config.workflow.expression import Call, Literal, Name, Not, Pair, Tree, Unknown
from cupel.config.workflow.note import Code, Notes
from cupel.config.workflow.shell import Writer, condition
from cupel.core.job import Step

SUPPORT_FILE = ".cupel/github.sh"
SUPPORT = """\
# What GitHub Actions gives each step of a job. Each bash that Cupel starts reads this before its
# script, because BASH_ENV names it; scripts that it starts do not do so again.
if [ -z "${GITHUB_LOADED-}" ]; then
  mkdir -p /tmp/github && touch /tmp/github/{env,path,output,summary}
  export GITHUB_LOADED=1 GITHUB_ENV=/tmp/github/env GITHUB_PATH=/tmp/github/path
  export GITHUB_OUTPUT=/tmp/github/output GITHUB_STEP_SUMMARY=/tmp/github/summary
  export GITHUB_WORKSPACE=$PWD GITHUB_SHA=$CUPEL_COMMIT GITHUB_REPOSITORY=$CUPEL_PROJECT
  export GITHUB_REF=refs/heads/$CUPEL_BRANCH GITHUB_REF_NAME=$CUPEL_BRANCH
  export GITHUB_BASE_REF=$CUPEL_BRANCH GITHUB_JOB=$CUPEL_JOB GITHUB_RUN_ID=$CUPEL_BUILD
  export GITHUB_RUN_ATTEMPT=1 RUNNER_OS=Linux RUNNER_TEMP=/tmp
  while IFS= read -r line; do
    if [[ $line == *=* && ${line%%=*} != *'<<'* ]]; then
      export "${line%%=*}=${line#*=}"
    elif [[ $line == *'<<'* ]]; then
      name=${line%%<<*} end=${line#*<<} value=
      while IFS= read -r line && [ "$line" != "$end" ]; do
        value+=${value:+$'\\n'}$line
      done
      export "$name=$value"
    fi
  done < "$GITHUB_ENV"
  while IFS= read -r line; do PATH=$line:$PATH; done < "$GITHUB_PATH"
  if ! command -v sudo > /dev/null; then
    sudo() { while [[ ${1-} == -* ]]; do shift; done; "$@"; }
    export -f sudo
  fi
fi
"""
"""The file beside the configuration for jobs whose scripts expect what runners of GitHub set."""

_EXPECTED = re.compile(r"\$\{?(?:GITHUB|RUNNER)_|\bsudo\b")
_PYTHON = re.compile(r"(?:^|[\s;&|(])(?:python|pip|pipx)\s", re.MULTILINE)
_NODE = re.compile(r"(?:^|[\s;&|(])(?:node|npm|npx|yarn|pnpm)\s", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What steps have unless they say otherwise; `exports` are lines that set variables."""

    shell: str = ""
    directory: str = ""
    exports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Converter:
    """Makes the steps of one job."""

    writer: Writer
    notes: Notes
    defaults: Defaults
    caches: Caches

    def steps(self, value: Value | None) -> list[Step]:
        """Those that are carried over, after what they need of a runner of GitHub.

        None where no script is left: what actions set up is then for nothing.
        """
        made = [(item, self._step(item)) for item in tree.items(value)]
        scripts = any(step and tree.get(item, "run") is not None for item, step in made)
        return complete([step for _, step in made if step is not None]) if scripts else []

    def _step(self, item: Value) -> Step | None:
        if not isinstance(item, Table):
            self.notes.add(item.at, Code.MALFORMED, "a step is a mapping")
            return None
        guard = self._guard(tree.get(item, "if"))
        if guard is None:
            return None
        uses = tree.get(item, "uses")
        script = self._used(item, uses) if uses is not None else self._run(item)
        if not script:
            return None
        self._note_limit(tree.get(item, "timeout-minutes"))
        forgiven = tree.get(item, "continue-on-error")
        if tree.text(forgiven) == "true":
            script = f"trap 'exit 0' EXIT  # its failure does not count\n{script}"
        elif forgiven is not None and "${{" in tree.text(forgiven):
            self.notes.add(forgiven.at, Code.CONDITION, "continue-on-error depends on something")
        return Step(name=self._name(item, uses, script), run=guard + script)

    def _note_limit(self, limit: Value | None) -> None:
        if limit is not None:
            hint = "the job's `timeout` is for all of its steps together"
            self.notes.add(limit.at, Code.OPTION, "a step has no time of its own", hint)

    def _name(self, item: Value, uses: Value | None, script: str) -> str:
        given = tree.text(tree.get(item, "name")) or tree.text(uses).partition("@")[0]
        named = expression.MARKED.sub(lambda found: self._static(found[0], item.at), given)
        return plain_name(named) or first_line(script)

    def _static(self, text: str, at: Mark) -> str:
        return self.writer.plain(text, at) if self.writer.is_static(text) else "…"

    def _guard(self, value: Value | None) -> str | None:
        """What a script begins with that runs under a condition; None if it never runs."""
        made = condition_of(value, self.notes) if value is not None else None
        if value is None or made is None:
            return ""
        if calls(made) & {"always", "failure", "cancelled"}:
            return self._after_failure(made, value.at)
        try:
            test = condition(made, self.writer.scope)
        except Unknown:
            message = f"the condition {show(tree.text(value))} cannot be worked out"
            self.notes.add(value.at, Code.CONDITION, message)
            return ""
        if test in ("true", "false"):
            return "" if test == "true" else None
        return f"{test} || exit 0\n"

    def _after_failure(self, made: Tree, at: Mark) -> str | None:
        message = "a step that runs after another has failed"
        hint = "nothing runs after a failure; what is in $CUPEL_RESULTS is kept all the same"
        self.notes.add(at, Code.CONDITION, message, hint)
        return None if "failure" in calls(made) else ""

    def _used(self, item: Value, uses: Value) -> str | None:
        name = tree.text(uses).partition("@")[0]
        inputs = {key.lower(): value for key, value in tree.pairs(tree.get(item, "with"))}
        used = action.Used(
            name=name,
            at=uses.at,
            given=inputs,
            writer=self.writer,
            notes=self.notes,
            caches=self.caches,
        )
        known, script = action.convert(used)
        if not known:
            self.notes.add(uses.at, Code.ACTION, f"the action {show(tree.text(uses))} is not known")
        return script

    def _run(self, item: Value) -> str | None:
        run = tree.get(item, "run")
        if not isinstance(run, Scalar) or not run.text.strip():
            self.notes.add(item.at, Code.MALFORMED, "a step has `run` or `uses`")
            return None
        script = self.writer.script(run.text, run.at)
        script = self._in_shell(item, script if script.endswith("\n") else script + "\n")
        env = [*self.defaults.exports, *exports(tree.get(item, "env"), self.writer, self.notes)]
        directory = tree.get(item, "working-directory")
        where = tree.text(directory) or self.defaults.directory
        if where:
            at = directory.at if directory is not None else item.at
            env.append(f"cd {self.writer.word(where, at)}")
        return "".join(f"{line}\n" for line in env) + script

    def _in_shell(self, item: Value, script: str) -> str:
        """The script as its shell reads it; Cupel's is bash with -e and pipefail."""
        value = tree.get(item, "shell")
        shell = (tree.text(value) or self.defaults.shell).strip()
        if not shell:
            return f"set +o pipefail\n{script}" if "|" in script else script
        if shell.split()[0] in ("bash", "sh"):
            return script
        if shell.split()[0] in ("python", "python3"):
            return f"python3 - <<'END_OF_PYTHON'\n{script}END_OF_PYTHON\n"
        at = value.at if value is not None else item.at
        self.notes.add(at, Code.SHELL, f"the shell {show(shell)} is taken for bash")
        return script


def complete(steps: list[Step]) -> list[Step]:
    """The steps with those before them that bring what runners of GitHub have."""
    texts = "\n".join(step.run for step in steps)
    before = []
    if _PYTHON.search(texts) and f"{action.PYTHON}/bin" not in texts:
        before.append(Step(name="set up Python", run=action.python()))
    if _NODE.search(texts) and "npm --version" not in texts:
        before.append(Step(name="set up Node", run=action.node()))
    return [*before, *steps]


def expects_support(steps: Sequence[Step]) -> bool:
    """Whether scripts use what runners of GitHub set."""
    return any(_EXPECTED.search(step.run) for step in steps)


def exports(value: Value | None, writer: Writer, notes: Notes) -> list[str]:
    """The lines that set variables."""
    return [
        f"export {name}={writer.word(tree.text(each), each.at)}"
        for name, each in variables(value, notes)
    ]


def variables(value: Value | None, notes: Notes) -> list[tuple[str, Scalar]]:
    """Names of variables with their values, those whose names are good."""
    found = []
    for name, each in tree.pairs(value):
        if re.fullmatch(VARIABLE.pattern or "", name, re.ASCII):
            found.append((name, each))
        else:
            message = f"{show(name)} cannot be the name of a variable"
            notes.add(each.at, Code.MALFORMED, message, "give the variable another name")
    return found


def condition_of(value: Value, notes: Notes) -> Tree | None:
    """The expression of an `if`, which may stand without its marks; None if it is none."""
    text = tree.text(value).strip()
    marked = expression.MARKED.fullmatch(text)
    try:
        return _ours(expression.read(marked[1] if marked else text))
    except expression.Unreadable:
        notes.add(value.at, Code.CONDITION, f"the condition {show(text)} is no expression")
        return None


def _ours(made: Tree) -> Tree:
    """The expression in which this repository is the one that it asks for."""
    match made:
        case Pair(sign="==" | "!=" as sign, left=Name() as name, right=Literal()):
            asked = str(name) in ("github.repository", "github.repository_owner")
            return Literal(sign == "==") if asked else made
        case Pair(sign=sign, left=left, right=right):
            return Pair(sign, _ours(left), _ours(right))
        case Not(inner=inner):
            return Not(_ours(inner))
    return made


def calls(made: Tree) -> set[str]:
    """The functions that the expression calls."""
    match made:
        case Call(function=function, arguments=arguments):
            return {function}.union(*(calls(each) for each in arguments))
        case Pair(left=left, right=right):
            return calls(left) | calls(right)
        case Not(inner=inner):
            return calls(inner)
    return set()


def plain_name(text: str) -> str:
    """A text as the name of a step: one line, short, without what acts on terminals."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line.encode()[:100].decode(errors="ignore").strip()
