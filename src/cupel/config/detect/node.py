"""Projects of npm, pnpm and yarn: the test script of package.json."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from cupel.config.detect.choice import Choice, Part, Repository, table

MARKERS = ("package.json",)

_PNPM = ("~/.npm", "~/.local/share/pnpm/store")
_RESULTS = "Results as JUnit in $CUPEL_RESULTS are shown test by test."


class _Manager(NamedTuple):
    """A package manager: how it installs exactly what is locked, and runs the test script."""

    install: str
    test: str
    arguments: str
    """What stands between the script and arguments for it."""
    caches: tuple[str, ...] = ("~/.npm",)


def script(repository: Repository) -> Choice | None:
    try:
        package = json.loads(repository.text("package.json") or "{}")
    except (ValueError, RecursionError):
        return None
    command = table(package, "scripts").get("test")
    if not isinstance(command, str) or "no test specified" in command:
        return None
    manager = _manager(repository, str(package.get("packageManager", "")))
    parts = (Part(manager.install), _tested(manager, command, package))
    why = "package.json has a test script"
    packages = ("nodejs", "npm")
    return Choice("test", parts, why, True, packages, "npm --version", caches=manager.caches)


def _manager(repository: Repository, named: str) -> _Manager:
    if named.startswith("pnpm@") or "pnpm-lock.yaml" in repository.paths:
        run = "npx --yes corepack@0 pnpm" if named else "npx --yes pnpm@9"
        frozen = " --frozen-lockfile" if "pnpm-lock.yaml" in repository.paths else ""
        return _Manager(f"{run} install{frozen}", f"{run} run test", "", _PNPM)
    if named.startswith("yarn@") and not named.startswith("yarn@1"):
        run = "npx --yes corepack@0 yarn"
        return _Manager(
            f"{run} install --immutable", f"{run} test", "", ("~/.npm", "~/.yarn/berry/cache")
        )
    if named.startswith("yarn@") or "yarn.lock" in repository.paths:
        run = "npx --yes yarn@1"
        caches = ("~/.npm", "~/.cache/yarn")
        return _Manager(f"{run} install --frozen-lockfile", f"{run} test", "", caches)
    locked = {"package-lock.json", "npm-shrinkwrap.json"} & repository.paths
    return _Manager("npm ci" if locked else "npm install", "npm test", "--")


def _tested(manager: _Manager, command: str, package: object) -> Part:
    """The test script, with results as JUnit if it is of a tool that can."""
    known = {*table(package, "devDependencies"), *table(package, "dependencies")}
    run = manager.test + (f" {manager.arguments}" if manager.arguments else "")
    if re.search(r"(?:^|&& *)vitest\b[^&|;]*$", command):
        once = "" if " run" in command else "--run "
        options = f"{once}--reporter=default --reporter=junit"
        return Part(
            f"{run} {options} --outputFile.junit=$CUPEL_RESULTS/vitest.xml", _RESULTS, "test"
        )
    if re.search(r"(?:^|&& *)jest\b[^&|;]*$", command) and "jest-junit" in known:
        options = "--ci --reporters=default --reporters=jest-junit"
        return Part(f"JEST_JUNIT_OUTPUT_DIR=$CUPEL_RESULTS {run} {options}", _RESULTS, "test")
    if re.search(r"(?:^|&& *)node +(?:--[\w=-]+ +)*--test\b", command):
        spec = "--test-reporter=spec --test-reporter-destination=stdout"
        junit = "--test-reporter=junit --test-reporter-destination=$CUPEL_RESULTS/node.xml"
        return Part(f'NODE_OPTIONS="{spec} {junit}" {manager.test}', _RESULTS, "test")
    said = "Results as JUnit in $CUPEL_RESULTS would be shown test by test."
    return Part(manager.test, said)
