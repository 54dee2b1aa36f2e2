"""The JSON Schema of the configuration files, for editors: made from what the parser reads with."""

from __future__ import annotations

from typing import Any

from cupel.config import project, server

Document = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def project_schema() -> Document:
    """The schema of a project's `.cupel.yaml`."""
    title = {"$schema": _DIALECT, "title": "Cupel: the jobs of a project"}
    return title | project.FILE.schema()


def server_schema() -> Document:
    """The schema of the server's `cupel.yaml`."""
    return {"$schema": _DIALECT, "title": "Cupel: the server"} | server.SERVER.schema()
