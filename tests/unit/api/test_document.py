import re
from pathlib import Path

from cupel.api import app
from unit.api.calls import get

REFERENCE = Path(__file__).parents[3] / "docs/reference/api.md"


def operations() -> list[tuple[str, str, dict[str, object]]]:
    paths = app.bare().openapi()["paths"]
    return [
        (method.upper(), path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


def test_the_document_is_served_and_the_same_without_a_server(tmp_path: Path) -> None:
    served = get(tmp_path, "/api/openapi.json")
    assert served.json() == app.bare().openapi()
    assert app.openapi() == app.openapi()


def test_every_operation_has_a_name_of_its_own_and_a_summary() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for _, _, operation in operations())


def test_every_parameter_says_what_it_is_for() -> None:
    for _, path, operation in operations():
        for parameter in operation.get("parameters", []):
            assert parameter["in"] == "path" or parameter.get("description"), (path, parameter)


def test_every_operation_and_its_parameters_are_in_the_reference() -> None:
    text = REFERENCE.read_text()
    sections = dict(re.findall(r"^### `([A-Z]+ /\S+)`\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    assert set(sections) == {f"{method} {path}" for method, path, _ in operations()}
    for method, path, operation in operations():
        for parameter in operation.get("parameters", []):
            if parameter["in"] != "path":
                name = (
                    "Last-Event-ID" if parameter["name"] == "last-event-id" else parameter["name"]
                )
                assert f"`{name}`".lower() in sections[f"{method} {path}"].lower(), (path, name)


def test_the_page_is_complete_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    answer = get(tmp_path, "/api/docs")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)
    assert "<script" not in answer.text
    for method, path, _ in operations():
        assert f"{method} {path}" in answer.text


def test_what_webhooks_are_sent_is_described_with_its_version() -> None:
    document = app.bare().openapi()
    body = document["webhooks"]["notice"]["post"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][name]["properties"]["version"]["const"] == 1
