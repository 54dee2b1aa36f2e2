"""The JSON Schema of configuration files, at addresses that stay, for editors to fetch."""

from __future__ import annotations

import json

import fastapi
from starlette.responses import Response

from cupel.config import schema

router = fastapi.APIRouter(include_in_schema=False)
"""Without a login: editors send none, and the schema is the same for everyone."""

KEPT = "public, max-age=3600"


@router.get("/schema/cupel.yaml.json")
async def project() -> Response:
    return _document(schema.project_schema())


@router.get("/schema/server.yaml.json")
async def server() -> Response:
    return _document(schema.server_schema())


def _document(made: schema.Document) -> Response:
    text = json.dumps(made, ensure_ascii=False, indent=1)
    headers = {"Cache-Control": KEPT, "Access-Control-Allow-Origin": "*"}
    return Response(text, media_type="application/schema+json", headers=headers)
