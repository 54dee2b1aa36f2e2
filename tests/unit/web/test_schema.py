"""The addresses of the JSON Schemas stay, and need no login."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from cupel.config import schema
from fakes import rows
from fakes.served import Settings
from unit.web.visit import Visitor, visit


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/schema/cupel.yaml.json", schema.project_schema()),
        ("/schema/server.yaml.json", schema.server_schema()),
    ],
)
def test_the_schemas_are_served_to_everyone(path: str, wanted: object, tmp_path: Path) -> None:
    async def act(visitor: Visitor) -> httpx2.Response:
        return await visitor.client.get(path)

    answer = visit(rows.World(), tmp_path, act, config=Settings(read="login"))
    assert answer.status_code == 200
    assert answer.json() == wanted
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.headers["access-control-allow-origin"] == "*"
