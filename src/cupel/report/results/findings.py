"""What is told of a build's tests, as JSON between the process that reads and the server."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from cupel.core import results
from cupel.core.results import Findings, Outcome, Result, Tally
from cupel.errors import InfraError


def plain(findings: Findings) -> dict[str, Any]:
    return dataclasses.asdict(findings)


def parse(text: bytes) -> Findings:
    """Raises `InfraError` for what the reading process cannot have meant to say."""
    try:
        found = json.loads(text)
        return Findings(
            tally=Tally(**found["tally"]),
            failing=tuple(_result(each) for each in found["failing"][: results.MOST_FAILED]),
            notices=tuple(str(each) for each in found["notices"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InfraError("results of tests were not read as they should be") from error


def _result(fields: dict[str, Any]) -> Result:
    return Result(**{**fields, "outcome": Outcome(fields["outcome"])})
