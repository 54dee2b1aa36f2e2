"""Every key is in the reference and in the JSON Schema, and nothing else is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cupel.config import (
    boot,
    cache,
    egress,
    freeze,
    image,
    job,
    load,
    notice,
    project,
    schema,
    server,
    system,
    together,
)
from cupel.config.shape import Record
from cupel.core.model import Pipeline

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"

DOCUMENTED = {
    "cupel-yaml.md": {
        "Keys of the file": project.FILE,
        "Keys of a job": job.JobShape.record,
        "Keys of a step": job.StepShape.record,
        "Keys of `boot`": boot.RECORD,
        "Keys of a service": together.SERVICE_RECORD,
        "Keys of a link": together.LINK_RECORD,
        "Keys of a cache": cache.CacheShape.record,
    },
    "server-configuration.md": {
        "Keys of the file": server.SERVER,
        "Keys of a label": server.LabelShape.record,
        "Keys of `network`": egress.RECORD,
        "Keys of `pool`": server.PoolShape.record,
        "Keys of an image": image.ImageShape.record,
        "Keys of `tar`": image.TAR_RECORD,
        "Keys of `disk`": system.DISK_RECORD,
        "Keys of `kernel`": system.KERNEL_RECORD,
        "Keys of `initrd`": system.BLOB_RECORD,
        "Keys of a file": image.FILE_RECORD,
        "Keys of `prefetch`": image.PREFETCH_RECORD,
        "Keys of `limits`": server.LIMITS_RECORD,
        "Keys of a webhook": notice.WebhookShape.record,
        "Keys of `mail`": notice.MAIL_RECORD,
        "Keys of `caches`": server.CACHES_RECORD,
        "Keys of `evidence`": server.EVIDENCE_RECORD,
    },
}
SECTIONS = [
    (page, title, record)
    for page, records in DOCUMENTED.items()
    for title, record in records.items()
]


def section(page: str, title: str) -> str:
    text = (REFERENCE / page).read_text()
    return re.split(r"^## ", text.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


@pytest.mark.parametrize(("page", "title", "record"), SECTIONS)
def test_the_reference_has_each_key_with_its_description(
    page: str, title: str, record: Record
) -> None:
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", section(page, title), flags=re.MULTILINE)
    assert rows == [(f"`{field.key}`", field.text) for field in record.fields]


@pytest.mark.parametrize(("page", "title", "record"), SECTIONS)
def test_each_table_of_keys_has_a_record(page: str, title: str, record: Record) -> None:
    titles = re.findall(r"^## (Keys of .*)$", (REFERENCE / page).read_text(), flags=re.MULTILINE)
    assert titles == list(DOCUMENTED[page])


def test_what_is_not_supported_yet_is_in_the_reference() -> None:
    words = set(re.findall(r"`(\w+)`", section("cupel-yaml.md", "Not in this version")))
    assert words == project.FILE.later | job.JobShape.record.later


def test_the_example_of_a_project_is_good() -> None:
    text = re.findall(r"```yaml\n(.*?)```", (REFERENCE / "cupel-yaml.md").read_text(), re.DOTALL)[0]
    loaded = load.load({".cupel.yaml": text}, [".cupel.yaml"], server.DEFAULT_LABELS)
    names = [frozen.name for frozen in freeze.freeze(loaded.config, Pipeline.CHECK)]
    assert names == ["build", "tests (python=3.11)", "tests (python=3.12)", "style"]


def test_the_example_of_a_matrix_is_good() -> None:
    text = (REFERENCE / "cupel-yaml.md").read_text()
    matrix = re.findall(r"```yaml\n(matrix:.*?)```", text, re.DOTALL)[0].replace("\n", "\n    ")
    whole = f"jobs:\n  t:\n    machine: m\n    steps: [x]\n    {matrix}\ncheck: [t]\n"
    config = load.load({".cupel.yaml": whole}, [".cupel.yaml"]).config
    assert [frozen.name for frozen in freeze.freeze(config, Pipeline.CHECK)] == [
        "t (python=3.11, box=debian-12)",
        "t (python=3.11, box=debian-13)",
        "t (python=3.12, box=debian-13, flags=--slow)",
        "t (python=3.13, box=debian-13)",
    ]


def test_the_example_of_a_server_is_good() -> None:
    text = (REFERENCE / "server-configuration.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    assert server.parse(example).labels["debian-12-build"].network == "full"


def keys(part: Any) -> set[str]:
    """All names of properties in a schema, at any depth."""
    if isinstance(part, list):
        return set().union(*map(keys, part)) if part else set()
    if not isinstance(part, dict):
        return set()
    own = set(part.get("properties", {}))
    return own.union(*map(keys, part.values())) if part else own


@pytest.mark.parametrize(
    ("made", "page", "beside"),
    [
        (schema.project_schema(), "cupel-yaml.md", {"include", "exclude"}),
        (schema.server_schema(), "server-configuration.md", set()),
    ],
)
def test_the_schema_has_the_same_keys(made: dict[str, Any], page: str, beside: set[str]) -> None:
    known = {field.key for record in DOCUMENTED[page].values() for field in record.fields}
    assert keys(made) == known | beside
    assert json.loads(json.dumps(made)) == made


def test_the_schema_describes_and_closes_every_record() -> None:
    made = schema.project_schema()
    assert made["additionalProperties"] is False
    frozen = made["properties"]["jobs"]["additionalProperties"]
    assert frozen["additionalProperties"] is False
    assert "required" not in frozen
    assert [either["required"] for either in frozen["anyOf"]] == [
        ["steps", "machine"],
        ["steps", "machines"],
        ["extends"],
        ["abstract"],
    ]
    assert {key: part["title"] for key, part in frozen["properties"].items()} == {
        key: key for key in frozen["properties"]
    }
    assert all(part["description"] for part in frozen["properties"].values())
