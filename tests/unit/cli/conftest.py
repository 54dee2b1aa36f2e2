from pathlib import Path

import pytest

from unit.cli import calls


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUPEL_URL", "CUPEL_TOKEN", "CUPEL_STATE", "CUPEL_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cupel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> calls.Command:
    return calls.make(tmp_path, capsys)
