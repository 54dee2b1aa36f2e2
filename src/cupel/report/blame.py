"""How whose fault a build is, and what speaks for that, is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cupel.core.blame import Blame, Finding, Proof, Sign

WORDS: Mapping[Blame, str] = {
    Blame.CHANGE: "the change's fault",
    Blame.INFRASTRUCTURE: "the infrastructure's fault, not the change's",
    Blame.FLAKE: "a flake, not the change's fault",
    Blame.BRANCH: "the branch is broken, not the change",
    Blame.OTHER: "not the change's fault, but of what it was proved on",
    Blame.UNDECIDED: "not decided",
}

_SIGNS: Mapping[Sign, str] = {
    Sign.TRIED_AGAIN: "it was tried again: {builds}",
    Sign.GIVEN_UP: "it was lost as often as a build may be",
    Sign.FAILED_AGAIN: "failed on the same inputs as well: {builds}",
    Sign.FAILED_ONCE: "it was run once, so it may also be a flake",
    Sign.PASSED_SAME: "the same job passed on the same inputs: {builds}",
    Sign.KNOWN_FLAKES: "every test that failed is known to be flaky, as it failed and passed on the"
    " same inputs: {builds}",
    Sign.PASSED_WITHOUT: "passed without the change: {builds}",
    Sign.RUNS_WITHOUT: "without the change it got further than where it failed: {builds}",
    Sign.FAILED_WITHOUT: "failed without the change as well: {builds}",
    Sign.FAILED_AHEAD: "failed without the change, with those ahead of it: {builds}",
    Sign.NEW_JOB: "the branch does not have this job: the change brings it",
    Sign.NO_CHANGE: "it ran on the branch itself, without any change",
    Sign.UNKNOWN_WITHOUT: "it is not known how the branch fares without the change",
    Sign.PASSED_ELSEWHERE: "passed with the change on another state: {builds}",
    Sign.WAITS_RERUN: "waits for the rerun: {builds}",
    Sign.WAITS_WITHOUT: "waits for the run without the change: {builds}",
}


def words(finding: Finding) -> str:
    """Whose fault it is."""
    said = WORDS[finding.blame]
    probable = finding.blame is not Blame.UNDECIDED and not finding.sure
    return f"probably {said}" if probable else said


def proof(found: Proof) -> str:
    """What speaks for it, in a clause."""
    if found.sign is Sign.LOST:
        ran = "" if found.seconds is None else f" after {found.seconds:.0f} s"
        return f"{found.text or 'it was lost'}{ran}"
    return _SIGNS[found.sign].format(builds=numbered(found.builds))


def numbered(builds: Sequence[int]) -> str:
    """Builds as they are named everywhere: `build 4`, `builds 4 and 9`."""
    *most, last = [str(number) for number in builds] or [""]
    return f"builds {', '.join(most)} and {last}" if most else f"build {last}"


def sentence(finding: Finding) -> str:
    """All of it in one line."""
    proofs = "; ".join(proof(each) for each in finding.proofs)
    return f"{words(finding)}: {proofs}" if proofs else words(finding)
