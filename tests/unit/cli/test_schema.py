"""`cupel schema` prints what the parser reads with."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cupel.cli.main import cli
from cupel.config import schema


@pytest.mark.parametrize(
    ("options", "wanted"),
    [([], schema.project_schema()), (["--server"], schema.server_schema())],
)
def test_it_is_the_schema_of_the_parser(options: list[str], wanted: object) -> None:
    result = CliRunner().invoke(cli, ["schema", *options])
    assert result.exit_code == 0
    assert json.loads(result.output) == json.loads(json.dumps(wanted))
